-- What each commendation of Halo 5 is taken for: the surest medal from 0.90 on, else the surest statistic from 0.70 on,
-- else the surest medal from 0.80 on, else nothing. Of medals that are as sure the one of the lowest number counts.
WITH placed AS (
    SELECT
        commendation_id,
        kind,
        matched_by,
        target,
        name_id,
        label,
        confidence,
        row_number() OVER (
            PARTITION BY commendation_id, kind ORDER BY confidence DESC, coalesce(name_id, 0), target
        ) AS place,
        count(*) OVER (PARTITION BY commendation_id, kind, confidence) AS as_sure,
        count(*) OVER (PARTITION BY commendation_id) AS candidates
    FROM commendation_candidates
    WHERE deleted_at IS NULL
),

excluded AS (
    SELECT DISTINCT commendations.commendation_id
    FROM commendations
    JOIN commendation_exclusions AS left_out
        ON left_out.deleted_at IS NULL
        AND (
            (left_out.kind = 'name' AND commendations.name = left_out.value)
            OR (left_out.kind = 'image' AND commendations.image_path LIKE concat('%/', left_out.value))
        )
),

chosen AS (
    SELECT
        commendations.commendation_id,
        CASE
            WHEN medal.confidence >= 0.90 THEN 'medal'
            WHEN stat.confidence >= 0.70 THEN 'stat'
            WHEN medal.confidence >= 0.80 THEN 'medal'
        END AS kind
    FROM commendations
    LEFT JOIN placed AS medal
        ON commendations.commendation_id = medal.commendation_id AND medal.kind = 'medal' AND medal.place = 1
    LEFT JOIN placed AS stat
        ON commendations.commendation_id = stat.commendation_id AND stat.kind = 'stat' AND stat.place = 1
    WHERE commendations.deleted_at IS NULL
)

SELECT
    commendations.commendation_id,
    commendations.category,
    commendations.name,
    commendations.description,
    commendations.master_count,
    chosen.kind,
    placed.name_id,
    CASE WHEN chosen.kind = 'stat' THEN placed.target END AS statistic,
    placed.label,
    placed.matched_by,
    placed.confidence,
    placed.as_sure,
    placed.candidates,
    excluded.commendation_id IS NOT NULL AS is_excluded
FROM chosen
JOIN commendations ON chosen.commendation_id = commendations.commendation_id
LEFT JOIN placed
    ON chosen.commendation_id = placed.commendation_id AND chosen.kind = placed.kind AND placed.place = 1
LEFT JOIN excluded ON chosen.commendation_id = excluded.commendation_id
