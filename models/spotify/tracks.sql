-- One row per track, as it was last told of: the sources of a track are asked in the order of how often they are read.
WITH told AS (
    SELECT
        1 AS place, played_at AS told_at, account, track__uri AS uri, track__id AS id, track__name AS name,
        track__duration_ms AS duration_ms, track__explicit AS explicit, track__external_ids__isrc AS isrc,
        track__is_local AS is_local, track__album__uri AS album_uri
    FROM recently_played
    UNION ALL
    SELECT
        2, added_at, account, track__uri, track__id, track__name,
        track__duration_ms, track__explicit, track__external_ids__isrc, track__is_local, track__album__uri
    FROM saved_tracks
    UNION ALL
    SELECT
        3, added_at, account, track__uri, track__id, track__name,
        track__duration_ms, track__explicit, track__external_ids__isrc, track__is_local, track__album__uri
    FROM playlist_items
    WHERE track__uri IS NOT NULL
    UNION ALL
    SELECT
        4, CAST(snapshot_date AS TIMESTAMP WITH TIME ZONE), account, uri, id, name,
        duration_ms, explicit, external_ids__isrc, is_local, album__uri
    FROM top_tracks
),

ordered AS (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY uri ORDER BY place, told_at DESC, account) AS number
    FROM told
)

SELECT uri, id, name, duration_ms, explicit, isrc, is_local, album_uri
FROM ordered
WHERE number = 1
