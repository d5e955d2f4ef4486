"""Rates are read as people write them, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.rates import format_rate, parse_rate


@pytest.mark.parametrize(
    ("text", "a_second"), [("50/s", 50), ("90/m", 1.5), ("3600/h", 1), ("0.5/s", 0.5), (" 5 / s ", 5)]
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
