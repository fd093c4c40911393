-- One row per person of ours and match in the columns of the original's Parquet files; `player`, `year` and `month` are
-- its folders: etl export spnkr match_facts --partition-by player,year,month.
WITH lives AS (
    SELECT match_id, xuid, avg(average_life_duration_seconds) AS average_life_seconds
    FROM match_stints
    GROUP BY match_id, xuid
)

SELECT
    played.xuid AS player,
    cast(extract(YEAR FROM played.start_time) AS BIGINT) AS year,
    lpad(cast(extract(MONTH FROM played.start_time) AS VARCHAR), 2, '0') AS month,
    played.match_id,
    played.xuid,
    played.start_time,
    played.playlist_id,
    matches.map_id,
    matches.game_variant_id,
    played.playlist_name,
    played.map_name,
    played.game_variant_name,
    played.outcome,
    played.last_team_id AS team_id,
    played.kills,
    played.deaths,
    played.assists,
    played.kda,
    played.accuracy_pct AS accuracy,
    played.headshot_kills,
    played.max_killing_spree,
    cast(round(played.time_played_seconds) AS BIGINT) AS time_played_seconds,
    lives.average_life_seconds AS avg_life_seconds,
    played.my_team_score,
    played.enemy_team_score,
    played.team_mmr,
    played.enemy_mmr,
    cast(played.session_number AS VARCHAR) AS session_id,
    played.performance_score
FROM player_matches AS played
JOIN match_stats AS matches ON played.match_id = matches.match_id
LEFT JOIN lives ON played.match_id = lives.match_id AND played.xuid = lives.xuid
