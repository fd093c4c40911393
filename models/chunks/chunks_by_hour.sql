SELECT
    device_id,
    date_trunc('hour', start_ts) AS hour,
    count(*) AS chunks,
    CAST(sum(date_diff('second', start_ts, heard_until)) AS BIGINT) AS seconds,
    count(CASE WHEN created_at > heard_until + INTERVAL 10 MINUTE THEN 1 END) AS late,
    count(CASE WHEN NOT is_whole THEN 1 END) AS not_whole
FROM chunks
GROUP BY device_id, date_trunc('hour', start_ts)
