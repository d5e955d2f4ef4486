"""Times as whoever asks reads them: in their own zone, which a script of the page keeps in a
cookie."""

from __future__ import annotations

import re
from datetime import datetime, timezone, tzinfo
from zoneinfo import ZoneInfo

from flask import request

from store.records import iso

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}")


def zone() -> tzinfo:
    """The zone of the browser that asks; UTC if it isn't known, here or there."""
    name = request.cookies.get("zone", "")
    if not _NAME.fullmatch(name):
        return timezone.utc
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        return timezone.utc


def local(at: int) -> str:
    """``14:03:20`` if it is today's, else ``3 Jun, 14:03:20``, with the year of another one; in UTC
    it says so."""
    here = zone()
    try:
        time = datetime.fromtimestamp(at / 1000, here)
    except (ValueError, OverflowError, OSError):  # a damaged row's
        return str(iso(at))
    now = datetime.now(here)
    day = "" if time.date() == now.date() else f"{time.day} {time:%b}, "
    if time.year != now.year:
        day = f"{time.day} {time:%b %Y}, "
    return f"{day}{time:%H:%M:%S}{' UTC' if here is timezone.utc else ''}"


def lasting(milliseconds: int) -> str:
    """``40 ms``, ``1.2 s``, ``3 min``."""
    seconds = milliseconds / 1000
    if seconds < 1:
        return f"{milliseconds} ms"
    if seconds < 60:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h"
