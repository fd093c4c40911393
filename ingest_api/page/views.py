"""The page as HTML: figures, one row of hours per device, gaps; and the form before it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from ingest_api.devices import Registered
from ingest_api.page.html import Html, element, joined
from ingest_api.page.overview import HOUR, HOURS, SILENCE, Gap, Overview
from ingest_api.tables import Status

STYLE = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
STYLE_HASH = f"sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}"
TITLE = "Recorders"
LEVELS = (0.25, 0.5, 0.75, 0.97)
"""Parts of an hour, that the colours tell apart; above the last one it is whole."""
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
GAP_COLUMNS = {"Device": "", "What": "", "From (UTC)": "", "To (UTC)": "until", "Lasts": "number"}
SHADES = ("none", "below 25 %", "below 50 %", "below 75 %", "below 97 %", "whole")


def entrance(problem: str = "") -> Html:
    """The form that asks for the token."""
    form = element(
        "form",
        element("label", "Administrator's token", for_="token"),
        element("input", name="username", value="administrator", autocomplete="username", hidden=True),
        element(
            "input", id="token", name="token", type="password", required=True, autofocus=True,
            autocomplete="current-password", aria_describedby="problem" if problem else None,
        ),
        element("p", problem, id="problem", class_="problem", role="alert") if problem else "",
        element("button", "Enter", type="submit"),
        method="post", action="/enter", class_="entrance",
    )  # fmt: skip
    return _document(element("main", element("h1", TITLE), form, class_="narrow"))


def apology(problem: str) -> Html:
    """What is said when there is nothing to show."""
    return _document(element("main", element("h1", TITLE), element("p", problem, class_="problem", role="alert")))


def page(told: Overview) -> Html:
    """All of it."""
    return _document(
        element(
            "header",
            element("h1", TITLE),
            element("p", f"{_clock(told.at)} UTC, {told.at:%a %d %b %Y}. ", element("a", "Refresh", href="/")),
            element("form", element("button", "Leave", type="submit"), method="post", action="/leave"),
        ),
        element("main", _figures(told), _devices(told), _gaps(told)),
    )


def _document(*content: str) -> Html:
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", TITLE),
        element("link", rel="icon", href="data:,"),
        element("style", Html(STYLE)),
    )
    return joined(Html("<!doctype html>"), element("html", head, element("body", *content), lang="en"))


def _figures(told: Overview) -> Html:
    silent = [device for device in told.devices if device.is_enabled and _is_silent(device, told.at)]
    enabled = sum(device.is_enabled for device in told.devices)
    waiting, oldest = _waiting(told)
    failed = told.queue[Status.ERROR].chunks if Status.ERROR in told.queue else 0
    flags = ", ".join(f"{flag} {count:,}" for flag, count in told.flags.items())
    disk = told.disk
    return element(
        "dl",
        _figure(
            "Devices",
            f"{enabled - len(silent)} of {enabled}",
            f"heard in the last {SILENCE // MINUTE} minutes" + (f"; {len(silent)} silent" if silent else ""),
            bad=bool(silent),
        ),
        _figure(
            "Gaps",
            f"{sum(told.gaps_of.values()):,}",
            f"in the last {HOURS} hours",
        ),
        _figure(
            "Flagged",
            f"{sum(hour.flagged for hour in told.hours.values()):,}",
            f"in the last {HOURS} hours" + (f": {flags}" if flags else ""),
        ),
        _figure(
            "Queue",
            f"{waiting:,}",
            (f"the oldest came {_ago(told.at - oldest)} ago" if oldest else "nothing waits")
            + (f"; {failed:,} in error" if failed else ""),
            bad=bool(failed),
        ),
        _figure(
            "Disk",
            f"{_size(disk.free)} free",
            element(
                "meter", f"{disk.free / disk.total:.0%} free", min="0", max=str(disk.total), low=str(disk.total // 5),
                high=str(disk.total // 2), optimum=str(disk.total), value=str(disk.free),
                aria_label=f"{_size(disk.free)} of {_size(disk.total)} free",
            ),
            f" of {_size(disk.total)}",
            bad=disk.free < disk.least,
        ),
        class_="figures",
    )  # fmt: skip


def _figure(name: str, value: str, *about: str, bad: bool = False) -> Html:
    return element(
        "div",
        element("dt", name),
        element("dd", value, class_="value"),
        element("dd", *about, class_="about"),
        class_="bad" if bad else None,
    )


def _waiting(told: Overview) -> tuple[int, datetime | None]:
    """How many chunks wait, or are at work, and when the first of them came."""
    found = [queue for status, queue in told.queue.items() if status != Status.ERROR]
    return sum(queue.chunks for queue in found), min((queue.oldest for queue in found), default=None)


def _devices(told: Overview) -> Html:
    if not told.devices:
        return element("p", "No device is registered yet: etl serve devices add.", class_="empty")
    hours = [told.begins + nth * HOUR for nth in range(HOURS)]
    head = element(
        "tr",
        element("th", "Device", scope="col", role="columnheader", class_="who"),
        element("th", "Last seen", scope="col", role="columnheader", class_="seen"),
        element("th", "Gaps", scope="col", role="columnheader", class_="number"),
        *(element("th", f"{hour:%H}", scope="col", role="columnheader", class_="hour") for hour in hours),
        role="row",
    )
    rows = [_device(device, hours, told) for device in told.devices]
    table = element(
        "table",
        element("caption", f"Chunks per hour (UTC) in the last {HOURS} hours"),
        element("thead", head, role="rowgroup"),
        element("tbody", *rows, role="rowgroup"),
        role="table",
        class_="devices",
    )
    return element("section", element("h2", "Devices"), table, _legend())


def _device(device: Registered, hours: Sequence[datetime], told: Overview) -> Html:
    return element(
        "tr",
        element(
            "th",
            element("code", _short(device.device_id), title=str(device.device_id)),
            element("small", f"point {_short(device.point_id)}, register {_short(device.register_id)}"),
            scope="row", role="rowheader", class_="who",
        ),
        element("td", *_seen(device, told.at), role="cell", class_="seen"),
        element("td", _gaps_of(device, told), role="cell", class_="number"),
        *(_hour(device.device_id, hour, told) for hour in hours),
        role="row",
        class_=None if device.is_enabled else "disabled",
    )  # fmt: skip


def _seen(device: Registered, at: datetime) -> tuple[str, ...]:
    if not device.is_enabled:
        return (element("strong", "disabled"),)
    if device.last_seen_at is None:
        return (element("strong", "never", class_="bad"),)
    seen = element(
        "time", f"{_ago(at - device.last_seen_at)} ago", datetime=_iso(device.last_seen_at),
        title=f"{_iso(device.last_seen_at)}",
    )  # fmt: skip
    return (element("strong", "silent ", class_="bad"), seen) if _is_silent(device, at) else (seen,)


def _gaps_of(device: Registered, told: Overview) -> Html:
    """How many; where there is room, the head of the column says of what."""
    count = told.gaps_of.get(device.device_id, 0)
    return joined(str(count), element("span", " gap" if count == 1 else " gaps", class_="narrow-only"))


def _is_silent(device: Registered, at: datetime) -> bool:
    return device.last_seen_at is None or at - device.last_seen_at > SILENCE


def _hour(device: UUID, hour: datetime, told: Overview) -> Html:
    """One cell: its colour is how much of the hour sounds, as far as the hour has gone."""
    found = told.hours.get((device, hour))
    chunks, seconds, flagged = (found.chunks, found.seconds, found.flagged) if found else (0, 0.0, 0)
    part = seconds / max(MINUTE, min(HOUR, told.at - hour)).total_seconds()
    level = 0 if not chunks else 1 + sum(part >= bound for bound in LEVELS)
    title = f"{hour:%H}:00 to {hour + HOUR:%H}:00: {chunks} chunks, {seconds / 60:.0f} minutes"
    title += f", {flagged} flagged" if flagged else ""
    return element("td", element("span", str(chunks)), role="cell", class_=f"hour h{level}", title=title)


def _legend() -> Html:
    """What the colours say."""
    shades = (element("li", element("i", class_=f"h{level}"), name) for level, name in enumerate(SHADES))
    return element("ul", *shades, class_="legend", aria_label="How much of an hour was recorded")


def _gaps(told: Overview) -> Html:
    before = sum(told.gaps_of.values()) - len(told.gaps)
    head = [element("th", name, scope="col", class_=class_) for name, class_ in GAP_COLUMNS.items()]
    table = element(
        "table",
        element(
            "caption",
            f"Minutes that are missing, double, unheard or silent until now in the last {HOURS} hours, latest first",
        ),
        element("thead", element("tr", *head)),
        element("tbody", *map(_gap, told.gaps)),
        class_="gaps",
    )
    none = element("p", f"None in the last {HOURS} hours.", class_="empty")
    more = element("p", f"and {before:,} before them", class_="empty") if before else ""
    return element("section", element("h2", "Gaps"), table if told.gaps else none, more)


def _gap(gap: Gap) -> Html:
    return element(
        "tr",
        element("th", element("code", _short(gap.device_id), title=str(gap.device_id)), scope="row"),
        element("td", gap.kind, class_=gap.kind),
        element("td", element("time", f"{gap.since:%d %b} {_clock(gap.since)}", datetime=_iso(gap.since))),
        element(
            "td", element("time", f"{gap.until:%d %b} {_clock(gap.until)}", datetime=_iso(gap.until)), class_="until"
        ),
        element("td", _ago(gap.lasts), class_="number"),
    )


def _short(identity: UUID) -> str:
    """The end of a UUID, where those that are counted by hand differ, too."""
    return f"…{str(identity)[-8:]}"


def _clock(moment: datetime) -> str:
    return f"{moment:%H:%M:%S}"


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _ago(time: timedelta) -> str:
    """A length of time, in its two largest units."""
    seconds = max(0, round(time.total_seconds()))
    for unit, below, name, smaller in ((86_400, 3600, "d", "h"), (3600, 60, "h", "min"), (60, 1, "min", "s")):
        if seconds >= unit:
            rest = seconds % unit // below
            return f"{seconds // unit} {name}" + (f" {rest} {smaller}" if rest else "")
    return f"{seconds} s"


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
