"""Pictures: the numbers drawn, and the same in words."""

from __future__ import annotations

from admin.page.pictures import HOUR, deliveries_picture, effect_picture, waiting_picture

NOW = 500_000 * HOUR + 1234


def test_a_delivery_is_in_its_hour_and_in_the_words() -> None:
    this = NOW // HOUR * HOUR
    hours = [
        (this, "accepted", 4),
        (this - HOUR, "accepted", 2),
        (this - HOUR, "rejected", 6),
        (this - 48 * HOUR, "accepted", 1),
    ]
    svg = str(deliveries_picture(hours, NOW))
    day, week = svg.split("<figure")[1:]
    assert "6 accepted, 6 rejected; the most in an hour: 8" in day
    assert "7 accepted, 6 rejected" in week
    assert day.count("<rect") == 3
    assert week.count("<rect") == 4
    assert 'class="rejected"' in day
    assert 'role="img"' in day


def test_no_deliveries_are_said() -> None:
    assert "no deliveries" in deliveries_picture([], NOW)
    assert effect_picture([], {}) == ""
    assert waiting_picture({}) == ""


def test_what_waits_is_told_by_workflow_and_nothing_becomes_markup() -> None:
    svg = str(waiting_picture({"<script>": 3, **{f"flow-{number}": number for number in range(1, 12)}}))
    assert "<script>" not in svg
    assert "69 waiting tasks in 12 workflows" in svg
    assert "others" in svg
