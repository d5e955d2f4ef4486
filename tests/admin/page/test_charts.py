"""Deliveries by time: each in its hour and day, with the totals."""

from __future__ import annotations

from flask.testing import FlaskClient

from admin.page.charts import deliveries_by_time
from tests.support.sample import Sample

HOUR = 3_600_000
NOW = 500_000 * HOUR + 1234
THIS = NOW // HOUR * HOUR


def test_a_delivery_is_in_its_hour_and_in_the_totals() -> None:
    hours = [
        (THIS, "accepted", 4),
        (THIS, "unknown", 1000),
        (THIS - HOUR, "rejected", 6),
        (THIS - HOUR, "accepted", 2),
        (THIS - 48 * HOUR, "accepted", 1),
        (THIS - 96 * HOUR, "wrong_token", 1000),
        (THIS - 168 * HOUR, "accepted", 100),
    ]
    week, day = deliveries_by_time(hours, NOW)
    assert (day.totals, day.most) == ({"accepted": 6, "rejected": 6}, 8)
    assert (week.totals, week.most) == ({"accepted": 7, "rejected": 6}, 12)
    assert day.rows == {
        "Fri 15 Jan, 07:00 UTC": {"accepted": 2, "rejected": 6},
        "Fri 15 Jan, 08:00 UTC": {"accepted": 4},
    }
    assert list(week.rows) == ["Wed 13 Jan", "Fri 15 Jan"]


def test_no_deliveries_are_said(sample: Sample, client: FlaskClient) -> None:
    assert [(one.totals, one.most) for one in deliveries_by_time([], NOW)] == [({}, 0)] * 2
    (sample.folder / "webhooks.yaml").write_text(
        "webhooks: [{name: new, verifier: none, receivers: {flow: any}}]"
    )
    assert "The last 24 hours: no deliveries" in client.get("/webhooks/new").text
