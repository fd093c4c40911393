-- The ranks of the career with the experience that lies below each. Who is shown at a rank has earned `xp_below` and
-- what of `xp_required` is done: in spnkr.career_progress `rank` is the one shown, `partial_progress` the rest.
SELECT
    rank,
    trim(concat(title, ' ', subtitle, ' ', tier)) AS name,
    title,
    subtitle,
    tier,
    tier_type,
    grade,
    xp_required,
    cast(coalesce(
        sum(xp_required) OVER (ORDER BY rank NULLS FIRST ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0
    ) AS BIGINT) AS xp_below,
    large_icon_path
FROM career_ranks
WHERE deleted_at IS NULL
