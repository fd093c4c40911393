-- One row per game and player of ours: both sides of each game, of which those that have a profile stay.
WITH sides AS (
    SELECT
        uuid, 'white' AS colour, lower(white__username) AS username, white__rating AS rating, white__result AS said,
        black__username AS opponent, black__rating AS opponent_rating, rules, time_class, rated, end_time
    FROM games
    UNION ALL
    SELECT
        uuid, 'black', lower(black__username), black__rating, black__result,
        white__username, white__rating, rules, time_class, rated, end_time
    FROM games
)

SELECT
    sides.uuid,
    player_profile.player_id,
    player_profile.username,
    sides.colour,
    CASE
        WHEN sides.said = 'win' THEN 'win'
        WHEN sides.said IN ('agreed', 'repetition', 'stalemate', 'insufficient', '50move', 'timevsinsufficient') THEN 'draw'
        WHEN sides.said IS NOT NULL THEN 'loss'
    END AS result,
    sides.rating,
    sides.opponent,
    sides.opponent_rating,
    sides.rules,
    sides.time_class,
    sides.rated,
    sides.end_time
FROM sides
JOIN player_profile ON sides.username = player_profile.username
