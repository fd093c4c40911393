-- Which artists made a track, the first one first.
WITH named AS (
    SELECT played.track__uri AS track_uri, artist._dlt_list_idx AS place, artist.uri AS artist_uri, artist.name
    FROM recently_played AS played
    JOIN recently_played__track__artists AS artist ON played._dlt_id = artist._dlt_parent_id
    UNION ALL
    SELECT saved.track__uri, artist._dlt_list_idx, artist.uri, artist.name
    FROM saved_tracks AS saved
    JOIN saved_tracks__track__artists AS artist ON saved._dlt_id = artist._dlt_parent_id
    UNION ALL
    SELECT item.track__uri, artist._dlt_list_idx, artist.uri, artist.name
    FROM playlist_items AS item
    JOIN playlist_items__track__artists AS artist ON item._dlt_id = artist._dlt_parent_id
    UNION ALL
    SELECT ranked.uri, artist._dlt_list_idx, artist.uri, artist.name
    FROM top_tracks AS ranked
    JOIN top_tracks__artists AS artist ON ranked._dlt_id = artist._dlt_parent_id
)

SELECT track_uri, place, min(artist_uri) AS artist_uri, min(name) AS name
FROM named
GROUP BY track_uri, place
