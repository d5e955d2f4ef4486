"""Signed times, and how far they may be from now."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platforms.verifiers import Refused
from platforms.verifiers.timestamps import Unit, check_age, read_time, write_time


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [
        ("1760000000", "s", 1760000000),
        ("1760000000123", "ms", 1760000000.123),
        ("2025-10-09T08:53:20Z", "rfc3339", 1760000000),
        ("2025-10-09T10:53:20.999+02:00", "rfc3339", 1760000000),
        ("2025-10-09t08:53:60z", "rfc3339", 1760000039),
        ("Thu, 09 Oct 2025 08:53:20 GMT", "http", 1760000000),
        ("1760000000", "any", 1760000000),
        ("1760000000.5", "any", 1760000000.5),
        ("1760000000123", "any", 1760000000.123),
        ("2025-10-09T08:53:20Z", "any", 1760000000),
    ],
)
def test_times_that_are_read(text: str, unit: Unit, expected: float) -> None:
    assert read_time(text, unit) == expected


@pytest.mark.parametrize("unit", ["s", "ms", "rfc3339", "http", "any"])
@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "-1",
            "+1",
            "1e9",
            "0x1",
            "1_0",
            "²",
            "١",
            "9" * 20,
            "9" * 4000,
            "NaN",
            "inf",
            "1760000000\n",
        ),
        *(
            "176000000",
            "17600000000",
            "176000000012",
            "17600000001234",
            "1760000000.",
            "1760000000123.5",
        ),
        *("2025-10-09", "2025-10-09T08:53:20", "2025-13-09T08:53:20Z", "0000-01-01T00:00:00Z"),
        *("2025-10-09T25:53:20Z", "2025-10-09T08:53:20+99:00"),
        *(
            "Fri, 09 Oct 2025 08:53:20 GMT",
            "Thu, 9 Oct 2025 08:53:20 GMT",
            "Thu, 09 Oct 2025 08:53:20 +0000",
        ),
        *(
            "Thu, 09 Oct 2025 25:53:20 GMT",
            "Thu, 32 Oct 2025 08:53:20 GMT",
            "thu, 09 oct 2025 08:53:20 gmt",
        ),
        *(
            "Thu, 09 Oct 2025 08:53:20 UTC",
            "Thu, 09 Oct 0000 08:53:20 GMT",
            "Thu, 09 Xxx 2025 08:53:20 GMT",
        ),
    ],
)
def test_times_that_are_none(text: str, unit: Unit) -> None:
    with pytest.raises(Refused):
        read_time(text, unit)


@given(text=st.text(max_size=40), unit=st.sampled_from(["s", "ms", "rfc3339", "http", "any"]))
def test_any_text_is_a_time_or_refused(text: str, unit: Unit) -> None:
    try:
        check_age(read_time(text, unit), 1.76e9, 300)
    except Refused:
        return


@given(
    now=st.integers(1_000_000_000, 9_999_999_999),
    unit=st.sampled_from(["s", "ms", "rfc3339", "http"]),
)
def test_what_is_written_is_read(now: int, unit: Unit) -> None:
    assert read_time(write_time(now, unit), unit) == now


def test_whole_seconds_are_compared() -> None:
    check_age(1000, 1300.99, 300)
    check_age(1000, 700, 300)
    check_age(1000, 99999, None)
    for now in (1301, 699.99):
        with pytest.raises(Refused):
            check_age(1000, now, 300)
