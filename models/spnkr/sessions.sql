-- Matches of a person with at most two hours between the end of one and the beginning of the next.
SELECT
    xuid,
    session_number,
    min(start_time) AS started_at,
    max(end_time) AS ended_at,
    count(*) AS matches,
    cast(sum(CASE WHEN outcome = 2 THEN 1 ELSE 0 END) AS BIGINT) AS wins,
    cast(sum(CASE WHEN outcome = 3 THEN 1 ELSE 0 END) AS BIGINT) AS losses,
    cast(sum(kills) AS BIGINT) AS kills,
    cast(sum(deaths) AS BIGINT) AS deaths,
    cast(sum(assists) AS BIGINT) AS assists,
    avg(kda) AS kda,
    100.0 * cast(sum(shots_hit) AS BIGINT) / nullif(cast(sum(shots_fired) AS BIGINT), 0) AS accuracy_pct,
    avg(performance_score) AS performance_score,
    sum(time_played_seconds) AS time_played_seconds
FROM player_matches
GROUP BY xuid, session_number
