SELECT
    campaign_name,
    CAST(started AS DATE) AS day,
    count(*) AS recordings,
    count(DISTINCT phone) AS phones,
    CAST(sum(duration_seconds) AS BIGINT) AS seconds,
    count(CASE WHEN duration_seconds IS NULL THEN 1 END) AS without_duration
FROM recordings
GROUP BY campaign_name, CAST(started AS DATE)
