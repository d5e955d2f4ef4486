"""Which calls may be made now, as others hang."""

from __future__ import annotations

from dataclasses import replace

from store.records import Event, Target
from worker.delivery.slots import HANGS, Claimed, InFlight

TARGET = Target(
    7, "event", "start", "flow", None, None, None, None, "event", "claimed", 1, None, "me", 5, 0, 0, None
)  # fmt: skip
EVENT = Event(1, "event", "w", 0, None, "{}", {}, {}, "pending", 0, 0, "no", None, None)


def one(webhook: str, workflow: str = "flow", tried: bool = False) -> Claimed:
    return Claimed(replace(TARGET, workflow=workflow, attempts=1 + tried), replace(EVENT, webhook=webhook))


def full(slots: InFlight, webhook: str, now: float) -> int:
    """How many calls of a webhook can be begun now."""
    begun = 0
    while slots.verdict((webhook, "flow"), False, 0, now) == "now":
        slots.call(one(webhook), now)
        begun += 1
    return begun


def test_so_many_calls_are_made_at_a_time() -> None:
    slots = InFlight(16, 10**9)
    assert full(slots, "a", 0) == 16
    assert slots.verdict(("b", "flow"), False, 0, 0) == "wait"


def test_the_slots_of_calls_that_hang_are_for_other_groups() -> None:
    slots = InFlight(16, 10**9)
    full(slots, "a", 0)
    assert slots.next_change(0) == HANGS
    assert full(slots, "b", HANGS) == 16
    assert slots.verdict(("a", "flow"), False, 0, HANGS) == "wait"
    assert slots.verdict(("a", "other"), False, 0, 2 * HANGS) == "now", "another workflow of the webhook"
    assert slots.verdict(("a", "flow"), False, 8, HANGS) == "later", "enough of them wait"


def test_there_is_an_end_to_it_which_targets_that_were_tried_reach_sooner() -> None:
    slots = InFlight(4, 10**9)
    begun = sum(full(slots, f"w{number}", number * HANGS) for number in range(3))
    assert begun == 12
    assert slots.verdict(("x", "flow"), True, 0, 9) == "wait"
    assert full(slots, "x", 9) == 4
    assert slots.verdict(("y", "flow"), False, 0, 99) == "wait"


def test_where_all_is_slow_no_more_calls_are_made_than_otherwise() -> None:
    slots = InFlight(16, 10**9)
    full(slots, "a", 0)
    assert full(slots, "a", 5) == 0


def test_a_group_whose_last_call_hung_and_came_to_nothing_is_tried_a_few_at_a_time_until_one_is_clear() -> None:
    slots = InFlight(16, 10**9)
    hung = slots.call(one("a"), 0)
    slots.end(hung, False, 10)
    assert full(slots, "a", 10) == 2
    assert [slots.verdict(("a", "flow"), False, waiting, 10) for waiting in (0, 1, 2)] == ["wait", "wait", "later"]
    assert slots.verdict(("a", "flow"), True, 0, 10) == "wait"
    assert full(slots, "b", 10) == 14
    [clear, *_] = [slot for slot in slots.slots if slot.claimed.event.webhook == "a"]
    slots.end(clear, True, 10.1)
    assert full(slots, "a", 10.1) == 1


def test_a_group_of_which_some_targets_hang_whenever_they_are_tried_still_tries_others() -> None:
    slots = InFlight(16, 10**9)
    slots.end(slots.call(one("a"), 0), False, 10)
    for _ in range(2):
        slots.call(one("a", tried=True), 10)
    assert slots.verdict(("a", "flow"), False, 0, 10) == "wait"
    assert slots.verdict(("a", "flow"), True, 0, 11) == "later"
    assert full(slots, "a", 11) == 2
    assert [full(slots, "a", 11 + number) for number in (1, 2, 3, 4)] == [2, 2, 2, 0], "they all hang"


def test_that_some_calls_of_a_group_hang_is_no_reason_to_wait_while_others_of_it_are_answered() -> None:
    slots = InFlight(16, 10**9)
    full(slots, "a", 0)
    for slot in list(slots.slots)[:4]:
        slots.end(slot, True, 0.1)
    assert full(slots, "b", 0.1) == 4
    assert full(slots, "a", 5) == 16
    assert full(slots, "a", 50) == 0


def test_a_call_that_fails_at_once_says_nothing_about_its_group() -> None:
    slots = InFlight(16, 10**9)
    slots.end(slots.call(one("a"), 0), False, 0.1)
    assert full(slots, "a", 1) == 16


def test_with_a_single_call_at_a_time_a_group_that_hung_is_called_again() -> None:
    slots = InFlight(1, 10**9)
    slots.end(slots.call(one("a"), 0), False, HANGS)
    assert slots.verdict(("a", "flow"), False, 0, 9) == "now"
    slots.call(one("a"), 9)
    assert slots.verdict(("a", "flow"), False, 0, 9) == "later"
