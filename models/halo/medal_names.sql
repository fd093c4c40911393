-- What each medal is called in each language. A label that somebody filled always wins, that of the language (fr)
-- also for its regions (fr-FR); then the game's own translation, that of any region for the language; then English.
WITH labels AS (
    SELECT name_id, locale, label FROM medal_labels WHERE deleted_at IS NULL AND label IS NOT NULL
),

texts AS (
    SELECT name_id, locale, regexp_replace(locale, '-.*', '') AS language, name
    FROM medal_texts
    WHERE deleted_at IS NULL AND name IS NOT NULL
),

regions AS (
    SELECT name_id, language, min(name) AS name FROM texts GROUP BY name_id, language
),

known AS (
    SELECT name_id FROM medal_labels WHERE deleted_at IS NULL
    UNION
    SELECT name_id FROM medals WHERE deleted_at IS NULL
),

locales AS (
    SELECT locale, regexp_replace(locale, '-.*', '') AS language FROM medal_labels
    UNION
    SELECT locale, regexp_replace(locale, '-.*', '') AS language FROM medal_texts
),

told AS (
    SELECT
        known.name_id,
        locales.locale,
        coalesce(own.label, wide.label) AS filled,
        coalesce(text.name, region.name) AS translated,
        coalesce(plain.name, english.label) AS untranslated
    FROM known
    CROSS JOIN locales
    LEFT JOIN labels AS own ON known.name_id = own.name_id AND locales.locale = own.locale
    LEFT JOIN labels AS wide ON known.name_id = wide.name_id AND locales.language = wide.locale
    LEFT JOIN texts AS text ON known.name_id = text.name_id AND locales.locale = text.locale
    LEFT JOIN regions AS region ON known.name_id = region.name_id AND locales.language = region.language
    LEFT JOIN texts AS plain ON known.name_id = plain.name_id AND plain.locale = 'en'
    LEFT JOIN labels AS english ON known.name_id = english.name_id AND english.locale = 'en'
)

SELECT
    name_id,
    locale,
    coalesce(filled, translated, untranslated) AS label,
    CASE
        WHEN filled IS NOT NULL THEN 'label'
        WHEN translated IS NOT NULL THEN 'translation'
        WHEN untranslated IS NOT NULL THEN 'english'
    END AS origin
FROM told
