-- With whom a person of ours was in a team at the end of a match, bots aside.
SELECT
    played.xuid,
    mate.xuid AS teammate_xuid,
    min(gamertags.gamertag) AS gamertag,
    count(*) AS matches,
    cast(sum(CASE WHEN played.outcome = 2 THEN 1 ELSE 0 END) AS BIGINT) AS wins,
    cast(sum(CASE WHEN played.outcome = 3 THEN 1 ELSE 0 END) AS BIGINT) AS losses,
    min(played.start_time) AS first_played_at,
    max(played.start_time) AS last_played_at
FROM player_matches AS played
JOIN match_players AS mate
    ON played.match_id = mate.match_id AND played.last_team_id = mate.last_team_id AND played.xuid <> mate.xuid
LEFT JOIN gamertags ON mate.xuid = gamertags.xuid
WHERE played.last_team_id >= 0
GROUP BY played.xuid, mate.xuid
