"""Up to when tasks are known, and when it is looked for those that were missed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from worker.discovery.watermark import (
    AFTER_OUTAGE,
    ALONE_FOR,
    LAG,
    WAIT,
    Known,
    Outage,
    Watermark,
)

T = 1_700_000_000_000
"""Now."""
NEVER = float("inf")


class Saved(list[Known]):
    """What was saved."""

    def watermark(self, known: Known | None = None) -> Watermark:
        return Watermark(Known() if known is None else known, self.append)


def changed(*changes: Callable[[Watermark], object]) -> Watermark:
    """One whose last scan began a second ago, after these changes."""
    found = Saved().watermark(Known(scan_began=T - 1_000))
    for change in changes:
        change(found)
    return found


def unread(**shown: int) -> Callable[[Watermark], object]:
    return lambda watermark: watermark.unread(shown)


@pytest.mark.parametrize(
    ("watermark", "until"),
    [
        (changed(), T - 1_000),
        (changed(lambda w: w.scanned(T - 5)), T - 5),
        (changed(lambda w: w.scanned(T - 3_600_000)), T - WAIT),
        (changed(lambda w: w.scanned(T + 3_600_000)), T - WAIT),
        (changed(unread(flow=T - 7_000)), T - 7_000),
        (changed(unread(flow=T - 10)), T - 1_000),
        (changed(unread(flow=T - 10), lambda w: w.scanned(T - 5)), T - 1_000),
        (changed(unread(flow=T - 10), lambda w: w.scanned(T - 5), unread()), T - 5),
        (changed(unread(flow=T - 3_600_000)), T - WAIT),
        (changed(unread(other=T - 7_000)), T - 1_000),
        (changed(lambda w: w.unread({"": T - 7_000})), T - 7_000),
        (changed(lambda w: w.conductor_is_away(T - 900)), T - 1_000),
        (changed(lambda w: w.conductor_is_away(T - 3_600_000)), T - 3_600_000 - WAIT),
    ],
    ids=[
        "by the last scan",
        "by a newer one",
        "no scan for long",
        "the clock was set back",
        "a task that can't be read",
        "which the scan before it hadn't shown",
        "nor does the scan that has shown it count",
        "it was read since",
        "it can't be read for long",
        "another's",
        "of an unknown workflow",
        "Conductor is away",
        "Conductor is away for long",
    ],
)
def test_how_far_tasks_are_known(watermark: Watermark, until: int) -> None:
    assert watermark.known_until(["flow"], T) == until


OUTAGE = (
    lambda w: w.conductor_is_away(T - 90_000),
    lambda w: w.conductor_is_back(T - 60_000),
)


@pytest.mark.parametrize(
    ("watermark", "arrived", "now", "may"),
    [
        (changed(), T - 1_000, T, True),
        (changed(), T - 999, T, False),
        (changed(), T - 999, T + WAIT, True),
        (changed(unread(flow=T - 7_000)), T - 1_000, T, False),
        (changed(unread(other=T - 7_000)), T - 1_000, T, True),
        (changed(lambda w: w.conductor_is_away(T - 60_000)), T - 100_000, T, False),
        (changed(*OUTAGE), T - 100_000, T, False),
        (changed(*OUTAGE, lambda w: w.reconciled(T - 50_000, True)), T - 100_000, T, True),
        (changed(*OUTAGE, lambda w: w.reconciled(T - 50_000, False)), T - 100_000, T, False),
        (changed(*OUTAGE, lambda w: w.reconciled(T - 70_000, True)), T - 100_000, T, False),
        (changed(*OUTAGE), T - 100_000, T - 60_000 + AFTER_OUTAGE, True),
        (changed(*OUTAGE), T - 4_000_000, T - 3_600_000, True),
    ],
    ids=[
        "known",
        "not known yet",
        "waited for long enough",
        "one can't be read",
        "another's can't",
        "Conductor is away",
        "back, and not reconciled",
        "reconciled since",
        "incompletely",
        "begun before it was back",
        "for two minutes at most",
        "the clock was set back",
    ],
)
def test_when_a_workflow_may_be_started_unless_a_task_takes_the_event(
    watermark: Watermark, arrived: int, now: int, may: bool
) -> None:
    assert watermark.may_start(arrived, ["flow"], now) is may


def test_only_a_search_that_begins_later_shows_what_a_lost_poll_took() -> None:
    watermark = Saved().watermark()
    watermark.owe_look(T)
    for began, is_owed in ((T, True), (T + LAG - 1, True), (T + LAG, False)):
        watermark.looked(began)
        assert watermark.needs_look(T) is is_owed


def test_losses_that_go_on_put_off_no_look() -> None:
    watermark = Saved().watermark()
    looks = []
    for now in range(T, T + 10_000, 500):
        watermark.owe_look(now)
        if not watermark.look_due_in(now):
            watermark.looked(now)
            looks.append(now - T)
        assert watermark.needs_look(now)
    assert looks == [2_000, 4_000, 6_000, 8_000]


def test_an_owed_look_survives_the_leader_and_a_clock_that_is_set_back() -> None:
    saved = Saved()
    saved.watermark().owe_look(T)
    watermark = saved.watermark(Known.read(saved[-1].text()))
    assert watermark.look_due_in(T) == LAG / 1000
    assert watermark.look_due_in(T - 3_600_000) == LAG / 1000
    watermark.looked(T - 3_600_000)
    assert not watermark.needs_look(T)


def test_what_another_bridge_finds_makes_looks_necessary_for_a_day() -> None:
    saved = Saved()
    watermark = saved.watermark()
    assert watermark.look_due_in(T) == NEVER
    for now in range(T, T + 60_000, 1_000):
        watermark.found_alone(now)
    assert len(saved) == 1, "it is saved once an hour"
    watermark.looked(T)
    assert (watermark.needs_look(T), watermark.look_due_in(T)) == (True, 0)
    assert not watermark.needs_look(T + ALONE_FOR)


def test_an_event_without_a_taker_has_a_look_once_a_second_at_most() -> None:
    watermark = Saved().watermark()
    watermark.want_look(T)
    assert (watermark.may_look(T), watermark.look_due_in(T)) == (True, 0)
    watermark.looked(T)
    assert watermark.look_due_in(T) == NEVER
    watermark.want_look(T + 200)
    assert (watermark.may_look(T + 200), watermark.look_due_in(T + 200)) == (False, 0.8)
    assert watermark.may_look(T + 1_000)


@pytest.mark.parametrize("rest", [0.0, 0.5, 4.0])
def test_looks_rest(rest: float) -> None:
    watermark = changed(lambda w: w.found_alone(T), lambda w: w.looked(T, rest))
    assert watermark.look_due_in(T) == rest
    assert watermark.look_due_in(T - 3_600_000) == 0, "the clock was set back"
    watermark.want_look(T)
    assert not watermark.may_look(T + 999)
    assert watermark.may_look(T + 4_000)


def test_a_look_that_failed_is_made_again_after_ever_longer_pauses_and_more_patiently() -> None:
    watermark = changed(lambda w: w.found_alone(T))
    before = 0.0
    for failures in range(1, 5):
        patience = watermark.patience()
        watermark.look_failed(T)
        due, before = watermark.look_due_in(T), 0.25 * 2 ** (failures - 1)
        assert before <= due <= before + 0.25
        assert watermark.patience() == 2 * patience
    watermark.looked(T)
    assert (watermark.look_due_in(T), watermark.patience()) == (0, 2)


@pytest.mark.parametrize(
    ("away", "back", "outage"),
    [
        (T, T + 9_999, None),
        # It went away at some time after the last scan began.
        (T, T + 10_000, Outage(T - 1_000, T + 10_000)),
        (T + 60_000, T + 90_000, Outage(T + 50_000, T + 90_000)),
    ],
)
def test_an_outage_is_longer_than_a_call(away: int, back: int, outage: Outage | None) -> None:
    watermark = changed(
        lambda w: w.conductor_is_away(away), lambda w: w.conductor_is_away(away + 5)
    )
    assert watermark.conductor_is_back(back) == outage
    assert watermark.look_due_in(back) == LAG / 1000
    assert watermark.conductor_is_back(back) is None


def test_an_outage_that_nobody_acted_on_is_the_next_leaders() -> None:
    saved = Saved()
    watermark = saved.watermark(Known(scan_began=T))
    watermark.conductor_is_away(T)
    assert watermark.conductor_is_back(T + 60_000)
    died = saved.watermark(saved[-1])
    assert died.conductor_is_back(T + 61_000) == Outage(T, T + 61_000)
    watermark.scanned(T + 60_000)
    assert saved.watermark(saved[-1]).conductor_is_back(T + 61_000) is None


def test_scans_are_saved_every_few_seconds() -> None:
    saved = Saved()
    watermark = saved.watermark(Known(scan_began=T))
    for now in range(T, T + 20_001, 20):
        watermark.scanned(now)
    assert [known.scan_began - T for known in saved] == [5_000, 10_000, 15_000, 20_000]


@pytest.mark.parametrize(
    ("text", "known"),
    [
        (Known(T, None, 1, T, 2, 3).text(), Known(T, None, 1, T, 2, 3)),
        ('{"scan_began": 5, "of another version": [1]}', Known(scan_began=5)),
        ('{"scan_began": "5", "away_since": true}', Known()),
        ("", Known()),
        ("[1]", Known()),
        ("5", Known()),
    ],
)
def test_what_a_leader_leaves_is_read_as_far_as_it_can_be(text: str, known: Known) -> None:
    assert Known.read(text) == known
