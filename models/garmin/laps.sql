-- One row per lap of an activity, with what the activity was and the pace.
SELECT
    lap.account,
    lap.activity_id,
    lap.lap_index,
    activity.calendar_date,
    activity.activity_name,
    activity.activity_type__type_key AS activity_type,
    lap.start_time_gmt,
    activity.utc_offset_minutes,
    lap.intensity_type,
    lap.distance_m,
    lap.duration_seconds,
    lap.moving_duration_seconds,
    CASE WHEN lap.distance_m > 0 THEN lap.duration_seconds / lap.distance_m * 1000 END AS pace_seconds_per_km,
    lap.average_hr_bpm,
    lap.max_hr_bpm,
    lap.average_power_w,
    lap.elevation_gain_m,
    lap.elevation_loss_m
FROM activity_splits AS lap
LEFT JOIN activities AS activity
    ON activity.account = lap.account AND activity.activity_id = lap.activity_id
