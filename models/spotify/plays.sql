-- Plays as the API tells them, and those of the export that it does not: the times of both differ by seconds, and are
-- those of the end of a play or, for some players, of its beginning. Shorter plays than 30 seconds the API leaves out.
SELECT
    account,
    played_at,
    track__uri AS item_uri,
    track__name AS name,
    track__album__name AS album_name,
    track__album__uri AS album_uri,
    context__uri AS context_uri,
    CAST(NULL AS BIGINT) AS ms_played,
    'api' AS told_by
FROM recently_played
UNION ALL
SELECT
    heard.account,
    heard.ts,
    heard.item_uri,
    COALESCE(heard.master_metadata_track_name, heard.episode_name, heard.audiobook_chapter_title),
    COALESCE(heard.master_metadata_album_album_name, heard.episode_show_name, heard.audiobook_title),
    CAST(NULL AS VARCHAR),
    CAST(NULL AS VARCHAR),
    heard.ms_played,
    'export'
FROM streaming_history AS heard
WHERE NOT EXISTS (
    SELECT 1
    FROM recently_played AS played
    WHERE
        played.account = heard.account
        AND played.track__uri = heard.item_uri
        AND heard.ms_played >= 30000
        AND (
            played.played_at BETWEEN heard.ts - INTERVAL '60' SECOND AND heard.ts + INTERVAL '60' SECOND
            OR played.played_at BETWEEN heard.started_at - INTERVAL '60' SECOND AND heard.started_at + INTERVAL '60' SECOND
        )
)
