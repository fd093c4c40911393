-- What a person heard during an activity: plays of the Spotify account of the same name that ended in its time.
SELECT
    activity.account,
    activity.activity_id,
    activity.activity_type__type_key AS activity_type,
    activity.start_time_gmt,
    play.played_at,
    play.item_uri,
    play.name,
    play.album_name
FROM activities AS activity
JOIN spotify.plays AS play
    ON play.account = activity.account AND play.played_at BETWEEN activity.start_time_gmt AND activity.end_time_gmt
