"""Signed times, and how far they may be from now."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Literal

from relay.request import Request
from relay.verifiers.compare import required_header
from relay.verifiers.refused import Refused

Unit = Literal["s", "ms", "rfc3339", "any"]

_DIGITS = re.compile(r"[0-9]{1,19}", re.ASCII)
_DECIMAL = re.compile(r"[0-9]{1,19}(?:\.[0-9]{1,9})?", re.ASCII)
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)


def read_time(text: str, unit: Unit) -> float:
    """Unix seconds of the text. Raises Refused for anything else."""
    if unit == "rfc3339" or (unit == "any" and "-" in text):
        return _rfc3339(text)
    if not (_DECIMAL if unit == "any" else _DIGITS).fullmatch(text):
        raise Refused("the timestamp is not a number")
    number = float(text)
    # Seconds have eleven digits until the year 5138.
    return number / 1000 if unit == "ms" or (unit == "any" and number >= 1e11) else number


def _rfc3339(text: str) -> float:
    found = _RFC3339.fullmatch(text)
    if found is None:
        raise Refused("the timestamp is not an RFC 3339 time")
    year, month, day, hour, minute, second = map(int, found.groups()[:6])
    sign = -1 if found[8] == "-" else 1
    try:
        zone = timezone(sign * timedelta(hours=int(found[9] or 0), minutes=int(found[10] or 0)))
        # A leap second is the second before it.
        moment = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=zone)
        return moment.timestamp()
    except (ValueError, OverflowError):
        raise Refused("the timestamp is not an RFC 3339 time") from None


def check_age(at: float, now: float, tolerance: float | None) -> None:
    """Raises Refused if the time is further from now than the tolerance, in seconds, before or after.

    Whole seconds are compared: most platforms sign no finer ones, so a delivery is 300 s old until it is 301 s old.
    """
    if tolerance is None:
        return
    age = int(now) - int(at)
    if abs(age) > tolerance:
        how = f"{age} s old" if age > 0 else f"{-age} s ahead"
        raise Refused(f"the timestamp is {how}; the tolerance is {tolerance:g} s")


def write_time(now: float, unit: Unit) -> str:
    """The time as a platform writes it."""
    if unit == "rfc3339":
        return datetime.fromtimestamp(int(now), timezone.utc).isoformat().replace("+00:00", "Z")
    return str(int(now * 1000) if unit == "ms" else int(now))


@dataclass(frozen=True)
class Timestamp:
    """A header that carries a signed time."""

    header: str
    unit: Unit = "s"
    loose: bool = False
    """A time that can't be read has no age, unless the webhook has a tolerance of its own. Only for signed times of
    platforms that document no format: without their key nobody can make one that can't be read."""

    def text(self, request: Request) -> str:
        """As it was sent and signed. Raises Refused if it isn't there."""
        return required_header(request, self.header.lower())

    def check(self, text: str, now: float, tolerance: float | None, own_tolerance: bool) -> None:
        """Raises Refused if it is too far from now, or no time."""
        if tolerance is None:
            return
        try:
            at = read_time(text, self.unit)
        except Refused:
            if self.loose and not own_tolerance:
                return
            raise
        check_age(at, now, tolerance)
