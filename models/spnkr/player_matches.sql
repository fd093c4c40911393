-- One row per person of ours and match: the participant, what kind of match it was, ratings, medals, score and session.
WITH ours AS (
    SELECT DISTINCT match_id, xuid FROM match_history
),

crowd AS (
    SELECT
        match_id,
        count(*) AS players_total,
        cast(sum(CASE WHEN is_bot THEN 0 ELSE 1 END) AS BIGINT) AS players_human
    FROM match_players
    GROUP BY match_id
),

sides AS (
    SELECT match_id, count(*) AS teams FROM match_teams GROUP BY match_id
),

earned AS (
    SELECT match_id, player_id, count(*) AS medal_rows, cast(sum(count) AS BIGINT) AS medal_count
    FROM match_medals
    GROUP BY match_id, player_id
),

enemies AS (
    SELECT skill.match_id, skill.player_id, max(rating.mmr) AS enemy_mmr
    FROM match_skill AS skill
    JOIN match_skill_mmrs AS rating
        ON skill.match_id = rating.match_id AND skill.player_id = rating.player_id AND skill.team_id <> rating.team_id
    GROUP BY skill.match_id, skill.player_id
),

named AS (
    SELECT kind, asset_id, version_id, min(public_name) AS name FROM assets GROUP BY kind, asset_id, version_id
),

described AS (
    SELECT
        matches.match_id,
        playlist.name AS playlist_name,
        pair.name AS pair_name,
        arena.name AS map_name,
        variant.name AS game_variant_name,
        lower(concat(coalesce(playlist.name, ''), ' / ', coalesce(pair.name, ''))) AS words
    FROM match_stats AS matches
    LEFT JOIN named AS playlist
        ON playlist.kind = 'playlist'
        AND matches.playlist_id = playlist.asset_id AND matches.playlist_version_id = playlist.version_id
    LEFT JOIN named AS pair
        ON pair.kind = 'map_mode_pair'
        AND matches.pair_id = pair.asset_id AND matches.pair_version_id = pair.version_id
    LEFT JOIN named AS arena
        ON arena.kind = 'map' AND matches.map_id = arena.asset_id AND matches.map_version_id = arena.version_id
    LEFT JOIN named AS variant
        ON variant.kind = 'ugc_game_variant'
        AND matches.game_variant_id = variant.asset_id AND matches.game_variant_version_id = variant.version_id
),

played AS (
    SELECT
        participants.*,
        CASE WHEN participants.deaths > 0 THEN 1.0 * participants.kills / participants.deaths
            ELSE 1.0 * participants.kills END AS kd_ratio,
        CASE participants.outcome WHEN 2 THEN 100.0 WHEN 1 THEN 50.0 WHEN 3 THEN 25.0 WHEN 4 THEN 10.0 END AS result_score,
        lag(coalesce(participants.end_time, participants.start_time)) OVER (PARTITION BY participants.xuid ORDER BY participants.start_time NULLS FIRST, participants.match_id NULLS FIRST)
            AS ended_before
    FROM participants
    JOIN ours ON participants.match_id = ours.match_id AND participants.xuid = ours.xuid
),

seated AS (
    SELECT
        played.*,
        cast(
            sum(CASE WHEN ended_before IS NULL OR start_time > ended_before + INTERVAL 120 MINUTE THEN 1 ELSE 0 END)
                OVER (PARTITION BY xuid ORDER BY start_time NULLS FIRST, match_id NULLS FIRST ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
            AS BIGINT
        ) AS session_number
    FROM played
)

SELECT
    seated.match_id,
    seated.xuid,
    seated.session_number,
    seated.start_time,
    seated.end_time,
    seated.lifecycle_mode,
    seated.game_variant_category,
    seated.playlist_id,
    described.playlist_name,
    described.map_name,
    described.pair_name,
    described.game_variant_name,
    seated.season_id,
    described.words LIKE '%firefight%' OR described.words LIKE '%pve%' OR described.words LIKE '%flood%'
    OR described.words LIKE '%spartan ops%' AS is_firefight,
    described.words LIKE '%ranked%' AS is_ranked,
    seated.outcome,
    seated.last_team_id,
    seated.rank,
    seated.stints AS team_stints,
    seated.kills,
    seated.deaths,
    seated.assists,
    seated.kda,
    seated.kd_ratio,
    seated.headshot_kills,
    seated.max_killing_spree,
    seated.shots_fired,
    seated.shots_hit,
    seated.accuracy_pct,
    seated.damage_dealt,
    seated.damage_taken,
    seated.my_team_score,
    seated.enemy_team_score,
    seated.time_played_seconds,
    seated.joined_in_progress,
    seated.left_in_progress,
    coalesce(earned.medal_rows, 0) AS medal_rows,
    coalesce(earned.medal_count, 0) AS medal_count,
    crowd.players_total,
    crowd.players_human,
    coalesce(sides.teams, 0) AS teams,
    skill.team_mmr,
    enemies.enemy_mmr,
    nullif(skill.pre_match_csr__value, -1) AS csr_before,
    nullif(skill.post_match_csr__value, -1) AS csr_after,
    skill.kills__expected AS expected_kills,
    skill.deaths__expected AS expected_deaths,
    (
        coalesce(0.4 * least(50.0 * seated.kd_ratio, 100.0), 0.0) + coalesce(0.3 * seated.result_score, 0.0)
        + coalesce(0.3 * seated.accuracy_pct, 0.0)
    ) / nullif(
        CASE WHEN seated.kd_ratio IS NULL THEN 0.0 ELSE 0.4 END + CASE WHEN seated.result_score IS NULL THEN 0.0 ELSE 0.3 END
        + CASE WHEN seated.accuracy_pct IS NULL THEN 0.0 ELSE 0.3 END, 0.0
    ) AS performance_score
FROM seated
JOIN described ON seated.match_id = described.match_id
JOIN crowd ON seated.match_id = crowd.match_id
LEFT JOIN sides ON seated.match_id = sides.match_id
LEFT JOIN earned ON seated.match_id = earned.match_id AND seated.player_id = earned.player_id
LEFT JOIN match_skill AS skill ON seated.match_id = skill.match_id AND seated.player_id = skill.player_id
LEFT JOIN enemies ON seated.match_id = enemies.match_id AND seated.player_id = enemies.player_id
