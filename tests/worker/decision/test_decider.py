"""What `test_rules`, which plays the delivery rules in any order, doesn't look at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest

from store.errors import RowsUnavailable
from tests.support.makers import ME
from tests.worker.decision.decider_bench import SECOND, Bench, starts
from tests.worker.decision.decider_bench import bench as bench
from worker.decision.decider import Request


@pytest.mark.parametrize("later", [False, True])
def test_tasks_are_given_inside_what_pauses_their_leases(bench: Bench, later: bool) -> None:
    given: list[list[str]] = []
    waits: list[bool] = []

    @contextmanager
    def suspended(tasks: Any) -> Iterator[dict[str, int]]:
        given.append([task.id for task in tasks])
        waits.append("t000" in bench.decider.tasks)
        yield {"t000": bench.ms + 5000} if later else {}
        waits.append("t000" in bench.decider.tasks)

    bench.wait()
    event = bench.arrive()
    with mock.patch.object(bench.decider._timeouts, "suspended", suspended):
        bench.decide()
    assert given == [["t000"]]
    assert waits == [True, False]
    [target] = bench.store.queries.targets_of([event])
    assert (target.due_at - bench.ms, target.attempts) == (
        (5000, 0) if later else (0, target.attempts)
    )


def test_what_is_claimed_at_once_comes_with_its_event_and_the_rest_is_left_for_any_worker(
    bench: Bench,
) -> None:
    for _ in range(3):
        bench.wait()
    event = bench.arrive(n=1)
    undecided = bench.store.decisions.agenda(10).undecided
    bench.decider.add_tasks(bench.store.tasks.adopt(ME, bench.conductor.poll("me"), bench.ms))
    claimed = bench.decider.decide(
        ME, Request(undecided, [], bench.ms, bench.ms, 2, bench.all_known(bench.ms))
    )
    assert [(target.task_id, owner.id) for target, owner in claimed] == [
        ("t000", event),
        ("t001", event),
    ]
    assert [target.state for target in bench.store.queries.targets_of([event])] == [
        "claimed",
        "claimed",
        "pending",
    ]


def test_while_paused_nothing_is_decided_and_afterwards_it_is_as_after_downtime(
    bench: Bench,
) -> None:
    held = bench.arrive(hold=1)
    bench.decide()
    bench.store.pauses.pause("w", bench.ms)
    came = bench.arrive(hold=1)
    early, late = bench.wait(), bench.wait()
    late.scheduled_at += 10 * SECOND
    bench.ms += 60 * SECOND
    for _ in range(2):
        assert bench.decide() == []
    assert bench.store.pauses.resume("w")
    bench.conductor.schedule(early.workflow_id, "second", {})
    bench.decide()
    assert bench.takers(held) == [early.id], (
        "it came within the hold, though that has ended meanwhile"
    )
    assert bench.takers(came) == []
    assert bench.event(came).status == "expired"


def test_what_came_nearest_is_kept_with_the_decision_and_again_as_the_hold_ends(
    bench: Bench,
) -> None:
    near = bench.wait({"$.a": 1, "$.b": 2})
    bench.wait({"$.a": 3, "$.b": 4})
    event = bench.arrive(hold=1, a=1, b=5)
    bench.decide()
    kept = bench.store.queries.near_misses(event)
    assert [task.id for task in kept] == [near.id, "t001"], (
        "the one of whose criteria the most hold comes first"
    )
    nearer = bench.wait({"$.a": 1, "$.b": 5, "$.c": 0})
    bench.decide()
    bench.ms += 2 * SECOND
    bench.decide()
    assert bench.event(event).status == "expired"
    found = [task.id for task in bench.store.queries.near_misses(event)]
    assert (found[0], near.id in found) == (nearer.id, True), (
        "what another event took meanwhile had come nearest"
    )
    taken = bench.arrive(a=1, b=2)
    bench.decide()
    assert bench.takers(taken) == [near.id]
    assert bench.store.queries.near_misses(taken) == []


def test_a_damaged_event_ends_with_its_hold_though_nobody_can_say_what_came_nearest(
    bench: Bench,
) -> None:
    event = bench.arrive(hold=1)
    bench.decide()
    bench.ms += 2 * SECOND
    with mock.patch.object(
        bench.store.queries, "events_up_to", side_effect=RowsUnavailable("missing chunk")
    ):
        bench.decide()
    assert bench.event(event).status == "expired"


# --- starts ---


ONCE = {
    "name": "w",
    "receivers": {"flow": "any"},
    "starts": [{"workflow": "flow", "unless": "taken", "once": {"key": "$.id"}}],
}


def test_starts_of_one_value_have_one_key_and_those_without_a_value_none(bench: Bench) -> None:
    bench.define(ONCE)
    for payload in ({"id": 7}, {"id": "7"}, {"id": 8}, {}):
        bench.arrive(**payload)
    bench.decide()
    seven, same, eight, none = (starts(bench, f"event{number}")[0] for number in (1, 2, 3, 4))
    assert seven.once_key == same.once_key != eight.once_key
    assert (seven.once_while, none.once_key, none.once_while) == ("running", None, None)
    holder = bench.store.once_keys.holder(str(seven.once_key))
    assert holder is not None
    assert holder.target_id == seven.id


def test_an_edit_of_an_entrys_input_changes_only_starts_that_are_decided_afterwards(
    bench: Bench,
) -> None:
    def inputs(event: str) -> list[str | None]:
        return [target.input for target in bench.store.queries.targets_of([event])]

    webhook = {
        "name": "w",
        "starts": [{"workflow": "flow", "input": {"a": "$.n"}}, {"workflow": "flow"}],
    }
    bench.define(webhook)
    before = bench.arrive(n=1)
    bench.decide()
    bench.define({**webhook, "starts": [{"workflow": "flow"}, {"workflow": "flow", "input": {}}]})
    after = bench.arrive(n=2)
    bench.decide()
    assert (inputs(before), inputs(after)) == (['{"a": "$.n"}', None], [None, "{}"])


@pytest.mark.parametrize("hold", [0, 600])
@pytest.mark.parametrize("seconds", [90, -90])
def test_an_event_goes_to_all_that_waited_though_the_clock_is_set_before_it_is_decided(
    bench: Bench, seconds: int, hold: int
) -> None:
    waiting = [bench.wait(), bench.wait()]
    bench.decide()
    bench.ms += SECOND
    event = bench.arrive(hold=hold)
    bench.set_clock(seconds)
    bench.later(0)
    assert bench.takers(event) == [task.id for task in waiting]


@pytest.mark.parametrize("hold", [30, 600])
def test_a_held_event_goes_to_a_workflow_that_ran_already_though_the_clock_was_set(
    bench: Bench, hold: int
) -> None:
    bench.later(0)
    running = bench.conductor.begin("flow", 1).id
    bench.ms += SECOND
    first, second = bench.arrive(hold=hold, n=1), bench.arrive(hold=hold, n=2)
    bench.decide()
    bench.set_clock(90)
    bench.ms += 5 * SECOND
    bench.wait({"$.n": 1})  # in a workflow that began after the event
    right = bench.wait({"$.n": 2}, running)
    bench.decide()
    assert (bench.takers(first), bench.takers(second)) == ([], [right.id])


def test_an_event_goes_to_no_workflow_that_began_after_it_though_the_clock_was_back_for_a_while(
    bench: Bench,
) -> None:
    bench.later(0)
    event = bench.arrive(n=1)
    bench.later(50)
    bench.set_clock(-90)
    bench.later(1)
    began_later = bench.conductor.begin("flow", 1).id
    bench.later(60)
    bench.set_clock(90)
    bench.later(1)
    bench.wait({"$.n": 1}, began_later)
    bench.decide()
    assert bench.takers(event) == []


@pytest.mark.parametrize("whose", ["ours", "Conductor's"])
def test_an_event_is_held_no_shorter_though_a_clock_was_set(bench: Bench, whose: str) -> None:
    bench.later(0)
    running = bench.conductor.begin("flow", 1).id
    event = bench.arrive(n=1, hold=600)
    bench.later(300)
    if whose == "ours":
        bench.set_clock(-300)
    else:
        bench.conductor.offset += 300 * SECOND
    bench.later(1)
    bench.ms += 250 * SECOND
    task = bench.wait({"$.n": 1}, running)
    bench.decide()
    assert bench.takers(event) == [task.id]
