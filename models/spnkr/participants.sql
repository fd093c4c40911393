-- One row per match and player, bots too: the stints of whoever changed the team are one.
WITH summed AS (
    SELECT
        match_id,
        player_id,
        cast(sum(score) AS BIGINT) AS score,
        cast(sum(personal_score) AS BIGINT) AS personal_score,
        cast(sum(kills) AS BIGINT) AS kills,
        cast(sum(deaths) AS BIGINT) AS deaths,
        cast(sum(assists) AS BIGINT) AS assists,
        cast(sum(suicides) AS BIGINT) AS suicides,
        cast(sum(betrayals) AS BIGINT) AS betrayals,
        cast(sum(headshot_kills) AS BIGINT) AS headshot_kills,
        cast(sum(melee_kills) AS BIGINT) AS melee_kills,
        cast(sum(grenade_kills) AS BIGINT) AS grenade_kills,
        cast(sum(power_weapon_kills) AS BIGINT) AS power_weapon_kills,
        max(max_killing_spree) AS max_killing_spree,
        cast(sum(shots_fired) AS BIGINT) AS shots_fired,
        cast(sum(shots_hit) AS BIGINT) AS shots_hit,
        cast(sum(damage_dealt) AS BIGINT) AS damage_dealt,
        cast(sum(damage_taken) AS BIGINT) AS damage_taken
    FROM match_stints
    GROUP BY match_id, player_id
),

opponents AS (
    SELECT own.match_id, own.team_id, max(other.score) AS enemy_team_score
    FROM match_teams AS own
    JOIN match_teams AS other ON own.match_id = other.match_id AND own.team_id <> other.team_id
    GROUP BY own.match_id, own.team_id
)

SELECT
    player.match_id,
    player.player_id,
    player.xuid,
    player.is_bot,
    matches.start_time,
    matches.end_time,
    matches.lifecycle_mode,
    matches.game_variant_category,
    matches.playlist_id,
    matches.season_id,
    player.outcome,
    player.last_team_id,
    player.rank,
    player.stints,
    summed.score,
    summed.personal_score,
    summed.kills,
    summed.deaths,
    summed.assists,
    summed.kills + summed.assists / 3.0 - summed.deaths AS kda,
    summed.suicides,
    summed.betrayals,
    summed.headshot_kills,
    summed.melee_kills,
    summed.grenade_kills,
    summed.power_weapon_kills,
    summed.max_killing_spree,
    summed.shots_fired,
    summed.shots_hit,
    100.0 * summed.shots_hit / nullif(summed.shots_fired, 0) AS accuracy_pct,
    summed.damage_dealt,
    summed.damage_taken,
    own.score AS my_team_score,
    opponents.enemy_team_score,
    player.time_played_seconds,
    player.joined_in_progress,
    player.left_in_progress
FROM match_players AS player
JOIN match_stats AS matches ON player.match_id = matches.match_id
LEFT JOIN summed ON player.match_id = summed.match_id AND player.player_id = summed.player_id
LEFT JOIN match_teams AS own ON player.match_id = own.match_id AND player.last_team_id = own.team_id
LEFT JOIN opponents ON player.match_id = opponents.match_id AND player.last_team_id = opponents.team_id
