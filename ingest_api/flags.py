"""What may be suspicious about a chunk that is stored all the same: its recorder would send it again for ever."""

from __future__ import annotations

from datetime import UTC, datetime

SAME_START = "same_start"
"""Another chunk of this device, with other content, starts at the same moment."""
TWICE_SHOWN = "ambiguous_local_time"
"""The clock was set back: its recorder's time names two moments."""
NEVER_SHOWN = "skipped_local_time"
"""The clock was set forward: its recorder's time names none."""
NOT_WHOLE = "not_whole_ogg"
"""The file is no Ogg file, or one that is cut or damaged; `note` says which."""
OTHER_CODEC = "other_codec"
OTHER_CHANNELS = "other_channels"
OTHER_DURATION = "other_duration"
"""It sounds for another time than its start and end say, by more than `TOLERANCE_SECONDS`."""
LONG_AGO = "long_ago"
"""It begins before `SERVED_SINCE`: a clock that nobody has set, as of a Pi that has just started without a network."""
IN_FUTURE = "in_future"
"""It begins later than now, by more than `CLOCK_SECONDS`."""

ALL = (
    SAME_START, TWICE_SHOWN, NEVER_SHOWN, NOT_WHOLE, OTHER_CODEC, OTHER_CHANNELS, OTHER_DURATION, LONG_AGO, IN_FUTURE,
)  # fmt: skip
SERVED_SINCE = datetime(2020, 1, 1, tzinfo=UTC)
TOLERANCE_SECONDS = 1.0
CLOCK_SECONDS = 300.0
