-- Where the minutes of a device do not follow one another: in the order of its clock, and in the order they came.
-- What says it is from before 2020 has a clock that nobody had set, and no place among the others.
-- A file that is not whole takes up the time its chunk claims, up to the next one: that is unheard, and not missing.
-- None of the columns that order them is ever null; NULLS FIRST is the one order that all warehouses can say.
WITH placed AS (
    SELECT
        chunk_id, device_id, start_ts, heard_until, created_at, is_whole,
        least(end_ts, coalesce(
            lead(start_ts) OVER (
                PARTITION BY device_id ORDER BY start_ts NULLS FIRST, created_at NULLS FIRST, chunk_id NULLS FIRST
            ),
            end_ts
        )) AS claimed_until,
        lag(start_ts) OVER (PARTITION BY device_id ORDER BY created_at NULLS FIRST, chunk_id NULLS FIRST) AS sent_before
    FROM chunks
    WHERE start_ts >= CAST('2020-01-01 00:00:00+00:00' AS timestamptz)
),

taken AS (
    SELECT
        *,
        CASE WHEN NOT is_whole THEN greatest(heard_until, claimed_until) ELSE heard_until END AS taken_until
    FROM placed
),

in_time AS (
    SELECT
        *,
        max(heard_until) OVER (
            PARTITION BY device_id ORDER BY start_ts NULLS FIRST, created_at NULLS FIRST, chunk_id NULLS FIRST
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS heard_before,
        max(taken_until) OVER (
            PARTITION BY device_id ORDER BY start_ts NULLS FIRST, created_at NULLS FIRST, chunk_id NULLS FIRST
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS taken_before,
        lag(created_at) OVER (
            PARTITION BY device_id ORDER BY start_ts NULLS FIRST, created_at NULLS FIRST, chunk_id NULLS FIRST
        ) AS came_before
    FROM taken
),

unheard AS (
    SELECT *, greatest(heard_until, coalesce(heard_before, heard_until)) AS silent_from
    FROM in_time
    WHERE NOT is_whole
),

missing AS (
    SELECT
        *,
        date_diff('second', taken_before, start_ts) AS seconds_missing,
        date_diff('second', came_before, created_at) AS seconds_between,
        date_diff('second', start_ts, taken_until) AS seconds_heard
    FROM in_time
    WHERE taken_before + INTERVAL 1 SECOND < start_ts
),

found AS (
    SELECT
        chunk_id, device_id, taken_before AS from_ts, start_ts AS until_ts,
        CASE
            WHEN seconds_between * 2 >= seconds_heard AND (seconds_between - seconds_heard) * 2 < seconds_missing
                THEN 'clock_forward'
            ELSE 'missing'
        END AS kind
    FROM missing
    UNION ALL
    SELECT chunk_id, device_id, silent_from, taken_until, 'unheard'
    FROM unheard
    WHERE silent_from + INTERVAL 1 SECOND < taken_until
    UNION ALL
    SELECT chunk_id, device_id, start_ts, least(heard_until, heard_before), 'double'
    FROM in_time
    WHERE start_ts + INTERVAL 1 SECOND < heard_before AND start_ts + INTERVAL 1 SECOND < heard_until
    UNION ALL
    SELECT chunk_id, device_id, start_ts, sent_before, 'clock_back'
    FROM in_time
    WHERE start_ts < sent_before AND start_ts + INTERVAL 1 SECOND < heard_before
    UNION ALL
    SELECT chunk_id, device_id, created_at, heard_until, 'clock_ahead'
    FROM in_time
    WHERE created_at + INTERVAL 5 SECOND < heard_until
)

SELECT chunk_id, device_id, kind, from_ts, until_ts, date_diff('second', from_ts, until_ts) AS seconds
FROM found
