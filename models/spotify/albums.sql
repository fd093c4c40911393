-- One row per album; a release date of less than a day is its first day.
WITH told AS (
    SELECT
        1 AS place, played_at AS told_at, account, track__album__uri AS uri, track__album__id AS id,
        track__album__name AS name, track__album__album_type AS kind, track__album__total_tracks AS total_tracks,
        track__album__release_date AS release_date
    FROM recently_played
    UNION ALL
    SELECT
        2, added_at, account, album__uri, album__id, album__name, album__album_type, album__total_tracks, album__release_date
    FROM saved_albums
    UNION ALL
    SELECT
        3, added_at, account, track__album__uri, track__album__id, track__album__name,
        track__album__album_type, track__album__total_tracks, track__album__release_date
    FROM saved_tracks
    UNION ALL
    SELECT
        4, added_at, account, track__album__uri, track__album__id, track__album__name,
        track__album__album_type, track__album__total_tracks, track__album__release_date
    FROM playlist_items
    UNION ALL
    SELECT
        5, CAST(snapshot_date AS TIMESTAMP WITH TIME ZONE), account, album__uri, album__id, album__name,
        album__album_type, album__total_tracks, album__release_date
    FROM top_tracks
),

ordered AS (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY uri ORDER BY place, told_at DESC, account) AS number
    FROM told
    WHERE uri IS NOT NULL
)

SELECT
    uri,
    id,
    name,
    kind,
    total_tracks,
    release_date,
    CAST(
        CASE length(release_date)
            WHEN 4 THEN concat(release_date, '-01-01')
            WHEN 7 THEN concat(release_date, '-01')
            WHEN 10 THEN release_date
        END AS DATE
    ) AS released_on
FROM ordered
WHERE number = 1
