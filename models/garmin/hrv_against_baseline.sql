-- One row per night with an average: where it lies against the person's own range.
SELECT
    account,
    calendar_date,
    last_night_avg_ms,
    weekly_avg_ms,
    baseline__balanced_low_ms AS balanced_low_ms,
    baseline__balanced_upper_ms AS balanced_upper_ms,
    CASE
        WHEN last_night_avg_ms < baseline__balanced_low_ms THEN 'below'
        WHEN last_night_avg_ms > baseline__balanced_upper_ms THEN 'above'
        WHEN baseline__balanced_low_ms IS NOT NULL THEN 'balanced'
    END AS last_night_is,
    status
FROM hrv
WHERE last_night_avg_ms IS NOT NULL
