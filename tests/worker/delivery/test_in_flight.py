"""How many targets are in flight, and which may be called next."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from store.records import Event, Target
from worker.delivery.slots import HANGS, Claimed, InFlight, Slot

TARGET = Target(
    id=7,
    event_id="event",
    kind="start",
    workflow="flow",
    workflow_id=None,
    task_id=None,
    reference_name=None,
    version=None,
    correlation_id="event",
    state="claimed",
    attempts=1,
    error=None,
    claimed_by="me",
    claimed_at=5,
    due_at=0,
    created_at=0,
    settled_at=None,
)
EVENT = Event(
    seq=1,
    id="event",
    webhook="w",
    received_at=0,
    delivery_id=None,
    payload="{}",
    headers={},
    query={},
    status="pending",
    hold_until=0,
    decided_at=0,
    hold="no",
    settled_at=None,
    replay_of=None,
)


def claimed(number: int, payload: str = "{}", webhook: str = "w") -> list[Claimed]:
    event = replace(EVENT, payload=payload, webhook=webhook)
    return [
        Claimed(replace(TARGET, id=n), replace(event, id=f"{webhook}{n}")) for n in range(number)
    ]


def full(slots: InFlight, webhook: str, now: float) -> int:
    """How many calls of a webhook can be begun now."""
    begun = 0
    while slots.verdict((webhook, "flow"), False, 0, now) == "now":
        slots.call(*claimed(1, webhook=webhook), now)
        begun += 1
    return begun


def test_what_came_first_is_called_first_and_the_others_wait() -> None:
    flight = InFlight(4, 10**6)
    flight.add(claimed(32))
    begun, later = flight.begin(0)
    assert ([slot.claimed.target.id for slot in begun], later) == ([0, 1, 2, 3], [])
    assert (len(flight), flight.room(0)) == (32, 0)
    flight.end(begun[2], True, 0.1)
    [slot] = flight.begin(0.1)[0]
    assert (slot.claimed.target.id, flight.room(0.1)) == (4, 1)


def test_there_is_room_for_as_much_payload_as_fits() -> None:
    flight = InFlight(4, 20)
    flight.add(claimed(2, "x" * 9))
    assert (flight.room(0), flight.payload_left(0)) == (30, 2)
    flight.add(claimed(3, "x" * 9, "v"))
    assert (flight.room(0), flight.payload_left(0)) == (0, -25)
    for slot in flight.begin(0)[0]:
        flight.end(slot, True, 0)
    assert (flight.room(0), flight.payload_left(0)) == (31, 11)


def test_targets_of_one_event_have_one_payload() -> None:
    flight = InFlight(4, 20)
    flight.add([Claimed(replace(TARGET, id=n), replace(EVENT, payload="x" * 9)) for n in range(3)])
    assert flight.payload_left(0) == 11


def test_calls_that_hang_and_what_waits_for_them_take_no_room() -> None:
    flight = InFlight(4, 20)
    flight.add(claimed(6, "x" * 9))
    flight.begin(0)
    assert flight.room(0) == 0
    assert (flight.room(HANGS), flight.payload_left(HANGS)) == (32, 20)
    flight.add(claimed(1, webhook="v"))
    assert [slot.claimed.event.webhook for slot in flight.begin(HANGS)[0]] == ["v"]


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


def test_a_call_that_fails_at_once_says_nothing_about_its_group() -> None:
    slots = InFlight(16, 10**9)
    slots.end(slots.call(*claimed(1, webhook="a"), 0), False, 0.1)
    assert full(slots, "a", 1) == 16


def test_with_a_single_call_at_a_time_a_group_that_hung_is_called_again() -> None:
    slots = InFlight(1, 10**9)
    slots.end(slots.call(*claimed(1, webhook="a"), 0), False, HANGS)
    assert slots.verdict(("a", "flow"), False, 0, 9) == "now"
    slots.call(*claimed(1, webhook="a"), 9)
    assert slots.verdict(("a", "flow"), False, 0, 9) == "later"


@pytest.mark.parametrize("seed", range(20))
def test_what_may_be_called_is_the_same_as_if_each_target_were_looked_at(seed: int) -> None:
    """While no call hangs there is a shorter way to that, and to how much room there is."""
    dice = random.Random(seed)
    payload = dice.choice([50, 300, 10**6])
    flight, other = InFlight(4, payload), InFlight(4, payload)
    other.calm = lambda now: False  # type: ignore[method-assign]
    under_way: list[tuple[Slot, Slot]] = []
    now = 0.0
    for number in range(100):
        now += dice.choice([0, 0.01, 0.1, 0.4, HANGS * dice.choice([0, 0, 1])])
        if under_way and dice.random() < 0.6:
            clear = dice.random() < 0.8
            for one, slot in zip(
                (flight, other), under_way.pop(dice.randrange(len(under_way))), strict=True
            ):
                one.end(slot, clear, now)
        event = replace(
            EVENT, id=f"e{number}", webhook=dice.choice("abc"), payload="x" * dice.randrange(30)
        )
        target = replace(TARGET, attempts=dice.choice([1, 1, 2]))
        new = [Claimed(replace(target, id=n), event) for n in range(dice.randrange(3))]
        flight.add(new)
        other.add(new)
        (begun, later), (others, others_later) = flight.begin(now), other.begin(now)
        assert [slot.claimed for slot in begun] == [slot.claimed for slot in others]
        assert (later, flight.waiting) == (others_later, other.waiting)
        if dice.random() < 0.5:
            assert flight.payload_left(now) == other.payload_left(now)
        assert flight.room(now) == other.room(now)
        under_way += zip(begun, others, strict=True)
