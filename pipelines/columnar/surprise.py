"""How a gear says that a page is not for it."""

from __future__ import annotations

import pyarrow as pa


class Surprise(Exception):
    """The page holds something this gear may not decide; the next one sees the page unchanged."""


MISFIT = (Surprise, pa.ArrowException, OverflowError)
