"""Settings as people write them: bounds of windows and addresses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from sources.kit.errors import BadSetting
from sources.kit.given import askable, bound

PRAGUE = timezone(timedelta(hours=1))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        (None, None),
        ("", None),
        ("2025-06-03", datetime(2025, 6, 3, tzinfo=PRAGUE)),
        ("2025-06-03T07:58:00", datetime(2025, 6, 3, 7, 58, tzinfo=PRAGUE)),
        ("2025-06-03T07:58:00Z", datetime(2025, 6, 3, 7, 58, tzinfo=UTC)),
    ],
)
def test_a_bound_is_in_the_zone_of_the_source_unless_it_names_one(text: str | None, moment: datetime | None) -> None:
    assert bound("toy.since", text, PRAGUE) == moment


def test_a_bound_that_is_no_time_is_refused() -> None:
    with pytest.raises(BadSetting, match=r"toy\.since: 'June' is no ISO 8601 time; use e\.g\. 2025-06-03T00:00:00Z"):
        bound("toy.since", "June")


@pytest.mark.parametrize("url", ["https://api.example.com/", "http://127.0.0.1:9000", "http://[::1]:80/v1/"])
def test_an_address_loses_its_last_slash(url: str) -> None:
    assert askable("toy.base_url", url) == url.rstrip("/")


@pytest.mark.parametrize(
    "url", ["", "api.example.com", "ftp://x", "http://[bad", "http:///x", "http://h:99999", "http://h:no", "http://h:0"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(BadSetting, match=r"toy\.base_url: no address that can be asked"):
        askable("toy.base_url", url)
