SELECT
    player_id,
    username,
    CAST(date_trunc('month', end_time) AS DATE) AS month,
    rules,
    time_class,
    count(*) AS games,
    count(CASE WHEN result = 'win' THEN 1 END) AS wins,
    count(CASE WHEN result = 'draw' THEN 1 END) AS draws,
    count(CASE WHEN result = 'loss' THEN 1 END) AS losses,
    max(rating) AS best_rating
FROM played
GROUP BY player_id, username, CAST(date_trunc('month', end_time) AS DATE), rules, time_class
