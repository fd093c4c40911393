-- The newest name of each person, whoever told it.
WITH seen AS (
    SELECT xuid, gamertag, coalesce(seen_at, first_seen_at) AS seen_at FROM aliases
    UNION ALL
    SELECT event.xuid, event.gamertag, max(matches.end_time)
    FROM highlight_events AS event
    JOIN match_stats AS matches ON event.match_id = matches.match_id
    WHERE event.gamertag <> '' AND event.xuid IS NOT NULL
    GROUP BY event.xuid, event.gamertag
),

placed AS (
    SELECT
        xuid, gamertag, seen_at,
        row_number() OVER (
            PARTITION BY xuid ORDER BY CASE WHEN seen_at IS NULL THEN 1 ELSE 0 END, seen_at DESC, gamertag
        ) AS place
    FROM seen
)

SELECT xuid, gamertag, seen_at FROM placed WHERE place = 1
