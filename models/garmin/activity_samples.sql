-- One row per sample of an activity, with what the activity was; of a down-sampled one Garmin tells some samples only.
SELECT
    sample.account,
    sample.activity_id,
    sample.sample_index,
    activity.calendar_date,
    activity.activity_type__type_key AS activity_type,
    sample.measured_at,
    activity.utc_offset_minutes,
    sample.duration_seconds,
    sample.distance_m,
    sample.speed_mps,
    sample.heart_rate_bpm,
    sample.power_w,
    sample.run_cadence_spm,
    sample.elevation_m,
    sample.latitude_degrees,
    sample.longitude_degrees
FROM activity_details_samples AS sample
LEFT JOIN activities AS activity
    ON activity.account = sample.account AND activity.activity_id = sample.activity_id
