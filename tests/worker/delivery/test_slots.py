"""Which calls may be made now, as others hang."""

from __future__ import annotations

from dataclasses import replace

from store.records import Event, Target
from worker.delivery.slots import HANGS, InHand, Places

TARGET = Target(
    7, "event", "start", "flow", None, None, None, None, "event", "claimed", 1, None, "me", 5, 0, 0, None
)  # fmt: skip
EVENT = Event(1, "event", "w", 0, None, "{}", {}, {}, "pending", 0, 0, "no", None, None)


def one(webhook: str, workflow: str = "flow") -> InHand:
    return InHand(replace(TARGET, workflow=workflow), replace(EVENT, webhook=webhook))


def full(places: Places, webhook: str, now: float) -> int:
    """How many calls of a webhook can be begun now."""
    begun = 0
    while places.verdict((webhook, "flow"), False, 0, now) == "now":
        places.begin(one(webhook), now)
        begun += 1
    return begun


def test_so_many_calls_are_made_at_a_time() -> None:
    places = Places(16)
    assert full(places, "a", 0) == 16
    assert places.verdict(("b", "flow"), False, 0, 0) == "wait"


def test_the_places_of_calls_that_hang_are_for_other_groups() -> None:
    places = Places(16)
    full(places, "a", 0)
    assert places.next_change(0) == HANGS
    assert full(places, "b", HANGS) == 16
    assert places.verdict(("a", "flow"), False, 0, HANGS) == "wait"
    assert places.verdict(("a", "other"), False, 0, 2 * HANGS) == "now", "another workflow of the webhook"
    assert places.verdict(("a", "flow"), False, 8, HANGS) == "later", "enough of them wait"


def test_there_is_an_end_to_it_which_targets_that_were_tried_reach_sooner() -> None:
    places = Places(4)
    begun = sum(full(places, f"w{number}", number * HANGS) for number in range(3))
    assert begun == 12
    assert places.verdict(("x", "flow"), True, 0, 9) == "wait"
    assert full(places, "x", 9) == 4
    assert places.verdict(("y", "flow"), False, 0, 99) == "wait"


def test_where_all_is_slow_no_more_calls_are_made_than_otherwise() -> None:
    places = Places(16)
    full(places, "a", 0)
    assert full(places, "a", 5) == 0


def test_a_group_whose_last_call_hung_and_came_to_nothing_is_tried_a_few_at_a_time_until_one_is_clear() -> None:
    places = Places(16)
    hung = places.begin(one("a"), 0)
    places.end(hung, False, 10)
    assert full(places, "a", 10) == 2
    assert places.verdict(("a", "flow"), False, 0, 10) == "later"
    assert full(places, "b", 10) == 14
    [clear, *_] = [place for place in places._places if place.one.event.webhook == "a"]
    places.end(clear, True, 10.1)
    assert full(places, "a", 10.1) == 1


def test_a_call_that_fails_at_once_says_nothing_about_its_group() -> None:
    places = Places(16)
    places.end(places.begin(one("a"), 0), False, 0.1)
    assert full(places, "a", 1) == 16
