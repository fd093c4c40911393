-- Where people stood in their career, by day.
SELECT
    progress.xuid,
    progress.snapshot_date,
    progress.rank,
    career_ladder.name,
    career_ladder.tier_type,
    progress.partial_progress,
    career_ladder.xp_required,
    career_ladder.xp_below + progress.partial_progress AS xp_total,
    progress.has_reached_max_rank
FROM spnkr.career_progress AS progress
LEFT JOIN career_ladder ON progress.rank = career_ladder.rank
