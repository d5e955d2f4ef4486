"""Signed times, and how far from now they may be."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime, parsedate_to_datetime
from typing import Literal

from platforms.bodies import BadBody, read_body, read_json
from platforms.http import Request
from platforms.verifiers.compare import required_header
from platforms.verifiers.refused import Refused

Unit = Literal["s", "ms", "rfc3339", "http", "any"]

# Of fixed length: if time and body are adjacent in what is signed, none of the body's digits can be
# taken for the time's, or vice versa. Ten digits are the seconds from 2001 to 2286.
_NUMBERS = {
    "s": re.compile(r"[0-9]{10}", re.ASCII),
    "ms": re.compile(r"[0-9]{13}", re.ASCII),
    "any": re.compile(r"[0-9]{10}(?:[0-9]{3}|\.[0-9]{1,9})?", re.ASCII),
}
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d))",
    re.ASCII,
)


_HTTP = re.compile(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", re.ASCII)
_FORMS = {
    "s": "ten digits of Unix seconds",
    "ms": "thirteen digits of Unix milliseconds",
    "any": "a Unix time",
}
_MS_DIGITS = 13


def read_time(text: str, unit: Unit) -> float:
    """Unix seconds of the text. Raises Refused for anything else."""
    if unit == "rfc3339" or (unit == "any" and "-" in text):
        return _rfc3339(text)
    if unit == "http":
        return _http(text)
    if not _NUMBERS[unit].fullmatch(text):
        raise Refused(f"the timestamp is not {_FORMS[unit]}")
    return float(text) / 1000 if len(text) == _MS_DIGITS and "." not in text else float(text)


def _rfc3339(text: str) -> float:
    found = _RFC3339.fullmatch(text)
    if found is None:
        raise Refused("the timestamp is not an RFC 3339 time")
    year, month, day, hour, minute, second = map(int, found.groups()[:6])
    sign = -1 if found[8] == "-" else 1
    try:
        zone = timezone(sign * timedelta(hours=int(found[9] or 0), minutes=int(found[10] or 0)))
        # A leap second counts as the second before it.
        moment = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=zone)
        return moment.timestamp()
    except (ValueError, OverflowError):
        raise Refused("the timestamp is not an RFC 3339 time") from None


def _http(text: str) -> float:
    try:
        moment = parsedate_to_datetime(text if _HTTP.fullmatch(text) else "")
        if format_datetime(moment, usegmt=True) != text:  # another day of the week than the date's
            raise ValueError
    except (ValueError, TypeError, OverflowError):
        raise Refused("the timestamp is not an HTTP date") from None
    return moment.timestamp()


def check_age(at: float, now: float, tolerance: float | None) -> None:
    """Raises Refused if the time is more than the tolerance (seconds) before or after now.

    Compares whole seconds: most platforms don't sign fractions, so a delivery is 300 s old until it
    is 301 s old.
    """
    if tolerance is None:
        return
    age = int(now) - int(at)
    if abs(age) > tolerance:
        how = f"{age} s old" if age > 0 else f"{-age} s ahead"
        raise Refused(f"the timestamp is {how}; the tolerance is {tolerance:g} s")


def write_time(now: float, unit: Unit) -> str:
    """The time as a platform writes it."""
    if unit == "http":
        return format_datetime(datetime.fromtimestamp(int(now), timezone.utc), usegmt=True)
    if unit == "rfc3339":
        return datetime.fromtimestamp(int(now), timezone.utc).isoformat().replace("+00:00", "Z")
    return str(int(now * 1000) if unit == "ms" else int(now))


@dataclass(frozen=True)
class Timestamp:
    """A header that carries a signed time."""

    header: str
    unit: Unit = "s"

    def text(self, request: Request) -> str:
        """The time as sent and signed. Raises Refused if it is missing."""
        return required_header(request, self.header.lower())

    def check(self, text: str, now: float, tolerance: float | None) -> None:
        """Raises Refused if it is too far from now or, whatever the tolerance, malformed."""
        check_age(read_time(text, self.unit), now, tolerance)


@dataclass(frozen=True)
class TimeInBody:
    """The member of a signed JSON body that carries the time."""

    path: tuple[str, ...]
    """The keys that lead to it."""
    unit: Unit

    def check(self, body: bytes, now: float, tolerance: float | None) -> None:
        """Raises Refused if it is missing, malformed or too far from now, and BadBody if the body
        can't be read."""
        value = read_body(body, None, always_json=True).value
        for key in self.path:
            value = value.get(key) if isinstance(value, dict) else None
        text = str(value) if isinstance(value, (str, int)) else ""
        check_age(read_time(text, self.unit), now, tolerance)

    def write(self, body: bytes, now: float) -> bytes:
        """The body with the current time in it; unchanged if it isn't a JSON object."""
        text = write_time(now, self.unit)
        added: object = int(text) if text.isdigit() else text
        for key in reversed(self.path):
            added = {key: added}
        try:
            value = read_json(body.decode())
        except (BadBody, UnicodeDecodeError):
            return body
        if not isinstance(value, dict):
            return body
        return json.dumps(value | added, separators=(",", ":"), ensure_ascii=False).encode()  # type: ignore[operator]
