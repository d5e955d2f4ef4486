"""Pictures: the numbers drawn, and the same in words."""

from __future__ import annotations

import re

import pytest

from admin.page.charts import ceiling_for, deliveries_chart, effect_times

HOUR = 3_600_000
NOW = 500_000 * HOUR + 1234


def test_a_delivery_is_in_its_hour_and_in_the_words() -> None:
    this = NOW // HOUR * HOUR
    hours = [
        (this, "accepted", 4),
        (this - HOUR, "accepted", 2),
        (this - HOUR, "rejected", 6),
        (this - 48 * HOUR, "accepted", 1),
    ]
    svg = str(deliveries_chart(hours, NOW))
    day, week = svg.split("<figure")[1:]
    assert "6 accepted, 6 rejected; the most in an hour: 8" in day
    assert "7 accepted, 6 rejected" in week
    assert day.count("<rect") - day.count('class="hit"') == 3
    assert week.count("<rect") - week.count('class="hit"') == 3
    assert 'class="rejected"' in day
    assert 'role="img"' in day


def test_no_deliveries_are_said() -> None:
    assert "no deliveries" in deliveries_chart([], NOW)
    assert effect_times([], {}) == ""


def test_a_chart_has_axes_a_title_for_each_hour_and_the_same_numbers_as_a_table() -> None:
    this = NOW // HOUR * HOUR
    svg = str(deliveries_chart([(this - HOUR, "accepted", 17), (this - HOUR, "rejected", 6)], NOW))
    day, week = svg.split("<figure")[1:]
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", day)
    assert texts[:3] == ["0", "20", "40"]
    assert texts[3:] == ["12:00", "18:00", "00:00", "06:00"]
    assert "<title>Fri 15 Jan, 07:00 UTC: 17 accepted, 6 rejected</title>" in day
    assert '<td data-label="Hour">Fri 15 Jan, 07:00 UTC</td><td data-label="accepted">17</td>' in day
    assert '<td data-label="Day">Fri 15 Jan</td><td data-label="accepted">17</td>' in week
    assert len(re.findall(r"<text[^>]*>\w+ \d+</text>", week)) == 7, "each day"


@pytest.mark.parametrize(
    ("most", "ceiling"), [(0, 2), (2, 2), (3, 4), (7, 8), (23, 40), (401, 600), (900, 1000), (10**25, 10**25)]
)
def test_the_axis_ends_at_a_round_number(most: int, ceiling: int) -> None:
    assert ceiling_for(most) == ceiling
