-- Who killed whom: a film tells kills and deaths apart, and those of one moment belong together.
-- Left out are moments with several killers, as nothing says whose each victim is, and deaths without a kill.
WITH kills AS (
    SELECT match_id, time_ms, min(xuid) AS killer_xuid, count(*) AS kills
    FROM highlight_events
    WHERE event_type = 'kill'
    GROUP BY match_id, time_ms
    HAVING min(xuid) = max(xuid)
),

deaths AS (
    SELECT match_id, time_ms, count(*) AS deaths
    FROM highlight_events
    WHERE event_type = 'death'
    GROUP BY match_id, time_ms
)

SELECT kills.match_id, victim.event_index, kills.time_ms, kills.killer_xuid, victim.xuid AS victim_xuid
FROM kills
JOIN deaths ON kills.match_id = deaths.match_id AND kills.time_ms = deaths.time_ms AND kills.kills = deaths.deaths
JOIN highlight_events AS victim
    ON kills.match_id = victim.match_id AND kills.time_ms = victim.time_ms AND victim.event_type = 'death'
WHERE kills.killer_xuid <> victim.xuid
