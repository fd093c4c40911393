-- Medals of matches that no file of labels and no metadata name yet.
SELECT
    earned.name_id,
    count(DISTINCT earned.match_id) AS matches,
    cast(sum(earned.count) AS BIGINT) AS times
FROM spnkr.match_medals AS earned
LEFT JOIN (SELECT DISTINCT name_id FROM medal_names WHERE label IS NOT NULL) AS named
    ON earned.name_id = named.name_id
WHERE named.name_id IS NULL
GROUP BY earned.name_id
