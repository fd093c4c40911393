-- The medals of a player in a match, over all stints; one that the API does not describe has no name.
SELECT
    earned.match_id,
    earned.player_id,
    min(earned.xuid) AS xuid,
    earned.name_id,
    min(medals.name) AS name,
    min(medals.difficulty) AS difficulty,
    cast(sum(earned.count) AS BIGINT) AS count
FROM match_medals AS earned
LEFT JOIN medals ON earned.name_id = medals.name_id
GROUP BY earned.match_id, earned.player_id, earned.name_id
