"""Two systems in one table: what Spotify played while Garmin measured."""


def test_plays_that_ended_during_an_activity_of_the_same_person(workspace, sandbox):
    made = workspace("garmin", "spotify")
    made.point_at(sandbox.settings("garmin", "spotify"))
    chosen = "recently_played,streaming_history,activities"
    result = made.etl("run", "spotify", "garmin", "--select", chosen, "--env", "test", "--output", "json")
    assert (result.code, [run["resources"] for run in result.json]) == (
        0, [["recently_played", "streaming_history"], ["activities"]],
    )  # fmt: skip
    heard = made.query("""
        SELECT account, played_at FROM garmin.music_during_activity ORDER BY account, played_at
    """)
    wanted = made.query("""
        SELECT p.account, p.played_at FROM spotify.plays AS p, garmin.activities AS a WHERE a.account = p.account
            AND epoch(p.played_at) >= epoch(a.start_time_gmt)
            AND epoch(p.played_at) <= epoch(a.start_time_gmt) + a.elapsed_duration_seconds
        ORDER BY p.account, p.played_at
    """)
    assert heard == wanted
    assert {account for account, _ in heard} == {"anna", "boris"}
