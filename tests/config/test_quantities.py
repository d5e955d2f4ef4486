"""Durations, sizes and rates are read as people write them, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.quantities import (
    ago,
    format_duration,
    format_rate,
    parse_duration,
    parse_rate,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10m", 600),
        ("1h30m", 5400),
        ("250ms", 0.25),
        ("0s", 0),
        (0, 0),
        ("7d", 604800),
        ("1.5h", 5400),
        (" 5s ", 5),
    ],
)
def test_a_duration_is_numbers_with_units(text: object, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["10", 10, "", "m", "10 m", "-5s", "1w", None, True, False, "1e3s", [], "9" * 400 + "d"]
)
def test_anything_else_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match=r"; "):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"), [(600, "10m"), (5400, "90m"), (0.25, "0.25s"), (0, "0s"), (172800, "2d")]
)
def test_a_duration_is_written_short_and_reads_back(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("25MB", 25 * 1024**2),
        ("512KB", 524288),
        (100, 100),
        ("100", 100),
        ("1.5kb", 1536),
        ("7 B", 7),
    ],
)
def test_a_size_is_bytes_or_has_a_unit(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "MB", 0, -1, "0", "0.5", "1XB", None, True, 1.5, "1TB", "9" * 400 + "MB"]
)
def test_anything_else_is_no_size(text: object) -> None:
    with pytest.raises(ValueError, match=r"; "):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "a_second"),
    [("50/s", 50), ("90/m", 1.5), ("3600/h", 1), ("0.5/s", 0.5), (" 5 / s ", 5)],
)
def test_a_rate_is_times_in_a_second(text: str, a_second: float) -> None:
    assert parse_rate(text) == a_second


@pytest.mark.parametrize("text", ["fast", 50, "50", "50/d", "-1/s", "1e3/s", True, None, "/s"])
def test_what_is_no_rate_is_refused_with_an_example(text: object) -> None:
    with pytest.raises(ValueError, match=r"such as 50/s"):
        parse_rate(text)


def test_never_is_a_pause() -> None:
    with pytest.raises(ValueError, match="webhook-bridge pause"):
        parse_rate("0/s")


@given(number=st.integers(1, 9999), unit=st.sampled_from("smh"))
def test_what_is_written_is_read_as_the_same_rate(number: int, unit: str) -> None:
    rate = parse_rate(f"{number}/{unit}")
    assert parse_rate(format_rate(rate)) == pytest.approx(rate)


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (-5, "0 s"),
        (59_000, "59 s"),
        (60_000, "1 min"),
        (3_600_000, "60 min"),
        (7_200_000, "2 h"),
        (400_000_000, "4 d"),
    ],
)
def test_a_span_is_told_in_its_own_unit(milliseconds: int, text: str) -> None:
    assert ago(milliseconds) == text
