-- Summary of a day beside what the scale said on it: the mean of its weigh-ins, as Garmin's own totals are.
WITH body AS (
    SELECT
        account,
        calendar_date,
        count(*) AS weigh_ins,
        avg(weight_g) AS weight_g,
        avg(bmi) AS bmi,
        avg(body_fat_percent) AS body_fat_percent,
        avg(body_water_percent) AS body_water_percent,
        avg(bone_mass_g) AS bone_mass_g,
        avg(muscle_mass_g) AS muscle_mass_g
    FROM body_composition
    GROUP BY account, calendar_date
)

SELECT
    user_summary.account,
    user_summary.calendar_date,
    user_summary.total_steps,
    user_summary.total_distance_meters,
    user_summary.total_kilocalories,
    user_summary.active_kilocalories,
    user_summary.bmr_kilocalories,
    user_summary.floors_ascended,
    user_summary.floors_descended,
    user_summary.moderate_intensity_minutes,
    user_summary.vigorous_intensity_minutes,
    user_summary.resting_heart_rate_bpm,
    user_summary.min_heart_rate_bpm,
    user_summary.max_heart_rate_bpm,
    user_summary.average_stress_level,
    user_summary.body_battery_highest_value,
    user_summary.body_battery_lowest_value,
    user_summary.sleeping_seconds,
    user_summary.average_spo2,
    user_summary.avg_waking_respiration_value,
    body.weigh_ins,
    body.weight_g,
    body.bmi,
    body.body_fat_percent,
    body.body_water_percent,
    body.bone_mass_g,
    body.muscle_mass_g
FROM user_summary
LEFT JOIN body ON body.account = user_summary.account AND body.calendar_date = user_summary.calendar_date
