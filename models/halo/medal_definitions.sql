-- The table of this name in the original's metadata.db.
SELECT
    name_id,
    max(CASE WHEN locale = 'en' THEN label END) AS name_en,
    max(CASE WHEN locale = 'fr' THEN label END) AS name_fr
FROM medal_names
GROUP BY name_id
