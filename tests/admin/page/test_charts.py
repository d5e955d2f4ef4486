"""What came in and what became of it: each delivery in its hour and day, drawn and in numbers."""

from __future__ import annotations

import re
from datetime import timedelta, timezone

from flask.testing import FlaskClient

from admin.page.charts import HOUR, Bar, Chart, charts, small_charts
from tests.support.sample import Sample

NOW = 500_000 * HOUR + 1234
THIS = NOW // HOUR * HOUR


def test_events_and_rejections_are_in_their_hour_and_their_day(sample: Sample) -> None:
    now = sample.store.now()
    day, week = charts(sample.store.queries, now, timezone.utc)
    found = {"delivered": 1, "held": 2, "expired": 1, "failed": 1, "ignored": 1, "rejected": 3}
    assert day.totals == week.totals == found | {"duplicate": 1}
    assert (len(day.bars), len(week.bars)) == (24, 7)
    [took] = {bar.took for bar in day.bars} - {None}
    assert took == 10 * 60_000, "from its arrival to the end of its targets"
    [of_orders, _] = charts(sample.store.queries, now, timezone.utc, "orders")
    assert of_orders.totals == {"expired": 1, "rejected": 3}


def test_days_begin_at_midnight_where_people_are(sample: Sample) -> None:
    zone = timezone(timedelta(hours=5, minutes=30))
    _, week = charts(sample.store.queries, NOW, zone)
    assert [bar.label for bar in week.bars][-2:] == ["Thu 14", "Fri 15"]
    assert week.bars[-1].begin == THIS - 13 * HOUR - HOUR // 2


def test_a_charts_top_is_a_round_number_and_its_line_is_broken_where_nothing_was_delivered() -> (
    None
):
    bars = [Bar(0, "", {"delivered": 130, "failed": 1}, 50), Bar(1, "", {}), Bar(2, "", {}, 100)]
    chart = Chart("", "Hour", bars)
    assert (chart.top, chart.slowest) == (140, 100)
    assert re.sub(r" [0-9.]+h", " h", chart.line) == "M5 h.01M25 h.01"


def test_a_small_chart_has_what_failed_among_what_was_accepted() -> None:
    rows = {"a": [(THIS, "accepted", 4), (THIS - HOUR, "rejected", 6)], "b": []}
    found = small_charts(rows, {"a": [THIS + 5]}, NOW, timezone.utc)
    assert found["a"].totals == {"accepted": 3, "failed": 1, "rejected": 6}
    assert found["b"].totals == {}


def test_the_numbers_are_beside_the_picture(client: FlaskClient) -> None:
    page = client.get("/").text
    assert '<li class="of-rejected"><b>3</b> rejected</li>' in page
    assert re.search(r"<details><summary>Numbers</summary>.*<th>Duplicate</th>", page, re.S)
