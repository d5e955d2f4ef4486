"""The delivery rules by example; `test_rules` plays them in any order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest
from structlog.testing import capture_logs

from store.errors import LeadershipLost, StoreUnavailable
from tests.store.contract.makers import ME
from tests.worker.leader.decider_bench import SECOND, Bench, settle
from tests.worker.leader.decider_bench import bench as bench
from worker.leader.decider import Request


def test_an_event_goes_to_every_matching_task_that_was_waiting_and_needs_no_look_up(bench: Bench) -> None:
    one, other, not_ = bench.wait(), bench.wait({"$.n": 1}), bench.wait({"$.n": 2})
    event = bench.arrive(n=1)
    assert [target.task_id for target, _ in bench.decide()] == [one.id, other.id]
    assert bench.takers(event) == [one.id, other.id]
    assert not_.id in bench.decider.tasks
    assert bench.looked_up == []


def test_the_log_of_a_decision_names_some_of_very_many_tasks(bench: Bench) -> None:
    for _ in range(30):
        bench.wait()
    bench.arrive()
    with capture_logs() as logs:
        bench.decide()
    [line] = [line for line in logs if line["event"] == "event decided"]
    assert [line["tasks"][-1], line["workflows"][-1]] == ["and 10 more"] * 2


@pytest.mark.parametrize("offset", [0, 90_000, -90_000])
def test_the_clocks_are_aligned_before_times_are_compared(bench: Bench, offset: int) -> None:
    bench.conductor.offset = offset
    before = bench.wait()
    bench.ms += SECOND
    event = bench.arrive()
    bench.ms += SECOND
    after = bench.wait(workflow=before.workflow_id)
    bench.decide()
    assert bench.takers(event) == [before.id], "who waited already takes it, and the later one doesn't join"
    assert after.id in bench.decider.tasks


def test_an_event_that_nobody_waited_for_goes_to_the_first_that_comes_and_to_no_other(bench: Bench) -> None:
    workflow = bench.conductor.begin("flow").id
    bench.ms += SECOND
    event = bench.arrive()
    bench.decide()
    assert (bench.event(event).hold, bench.event(event).status) == ("held", "pending")
    bench.ms += SECOND
    first, second = bench.wait(workflow=workflow), bench.wait(workflow=workflow)
    bench.decide()
    assert bench.takers(event) == [first.id]
    assert second.id in bench.decider.tasks


def test_a_loop_takes_the_oldest_event_first(bench: Bench) -> None:
    workflow = bench.conductor.begin("flow").id
    events = []
    for _ in range(3):
        bench.ms += 1
        events.append(bench.arrive())
    for number in range(3):
        bench.ms += SECOND
        task = bench.wait(workflow=workflow)
        if number == 1:
            bench.restart()
        bench.decide()
        assert bench.takers(events[number]) == [task.id]


@pytest.mark.parametrize(("later", "taken"), [(2001, False), (1999, True)])
def test_an_event_never_goes_to_a_workflow_that_started_after_it_but_for_the_skew(
    bench: Bench, later: int, taken: bool
) -> None:
    event = bench.arrive()
    bench.ms += later
    task = bench.wait()
    bench.decide()
    assert bench.takers(event) == [task.id] * taken


def test_of_a_sub_workflow_its_roots_start_counts(bench: Bench) -> None:
    root = bench.conductor.begin("whatever")
    bench.ms += 5 * SECOND
    event = bench.arrive()
    bench.ms += 5 * SECOND
    middle = bench.conductor.begin("sub", parent=root.id)
    child = bench.conductor.begin("sub", parent=middle.id)
    task = bench.wait(workflow=child.id)
    bench.decide()
    assert bench.takers(event) == [task.id]


@pytest.mark.parametrize("correlation_id", ["event1", "event1#2"])
def test_an_event_never_goes_to_a_workflow_that_it_started_itself(bench: Bench, correlation_id: str) -> None:
    event = bench.arrive()
    bench.decide()
    started = bench.conductor.begin("flow", correlation_id=correlation_id)
    child = bench.conductor.begin("sub", parent=started.id)
    tasks = [bench.wait(workflow=started.id), bench.wait(workflow=child.id)]
    bench.decide()
    assert bench.takers(event) == []
    other = bench.arrive()
    bench.decide()
    assert bench.takers(other) == [task.id for task in tasks], "another event does"


def test_a_task_that_appears_later_never_joins(bench: Bench) -> None:
    known, polled_by_another = bench.wait(), bench.wait()
    polled_by_another.status = "IN_PROGRESS"
    event = bench.arrive()
    bench.decide()
    assert bench.takers(event) == [known.id]
    polled_by_another.status = "SCHEDULED"
    bench.decide()
    assert bench.takers(event) == [known.id]


def test_events_of_one_webhook_are_decided_in_the_order_of_arrival(bench: Bench) -> None:
    task = bench.wait()
    bench.ms += 1
    first, second = bench.arrive(), bench.arrive()
    bench.decide()
    assert bench.takers(first) == [task.id]
    assert bench.takers(second) == []
    assert bench.event(second).hold == "held"


def test_an_event_whose_takers_are_all_gone_is_free_for_its_hold_also_by_paths_that_are_new(bench: Bench) -> None:
    gone = bench.wait()
    event = bench.arrive(n=1)
    [(target, _)] = bench.decide()
    settle(bench, target, "cancelled")
    assert bench.event(event).hold == "recheck", "the decider is to look"
    bench.ms += SECOND
    task = bench.wait({"$.n": 1}, workflow=gone.workflow_id)
    bench.decide()
    assert bench.takers(event) == [gone.id, task.id]


def test_after_downtime_an_event_is_decided_once_for_tasks_that_came_within_its_hold(bench: Bench) -> None:
    workflow = bench.conductor.begin("flow").id
    in_time, too_late = bench.arrive(hold=5, n=1), bench.arrive(hold=5, n=2)
    bench.ms += 4 * SECOND
    task = bench.wait({"$.n": 1}, workflow=workflow)
    bench.ms += 2 * SECOND
    bench.wait({"$.n": 2}, workflow=workflow)
    bench.ms += 60 * SECOND
    bench.decide()
    assert bench.takers(in_time) == [task.id]
    assert bench.event(too_late).status == "expired"


def test_a_hold_of_nothing_is_for_those_who_wait_already(bench: Bench) -> None:
    workflow = bench.conductor.begin("flow").id
    bench.ms += SECOND
    event = bench.arrive(hold=0)
    bench.ms += 1
    bench.wait(workflow=workflow)
    bench.decide()
    assert bench.takers(event) == []
    assert bench.event(event).status == "expired"


def test_a_held_event_expires_when_its_hold_ends_and_not_before_a_scan_that_began_later(bench: Bench) -> None:
    event = bench.arrive(hold=5)
    bench.ms += 5 * SECOND
    bench.decide()
    assert bench.event(event).status == "pending"
    bench.ms += 1
    bench.decide()
    assert bench.event(event).status == "expired"
    assert len(bench.decider.held.index) == 0


def test_only_tasks_of_the_receivers_versions_are_given_and_their_workflow_is_looked_up_once(bench: Bench) -> None:
    bench.define({"name": "w", "receivers": {"flow": [2, 3]}})
    old, new = bench.wait(version=1), bench.wait(version=3)
    for _ in range(2):
        event = bench.arrive()
        bench.decide()
    assert bench.takers("event1") == [new.id]
    assert bench.takers(event) == []
    assert sorted(set(bench.looked_up)) == sorted(bench.looked_up) == [old.workflow_id, new.workflow_id]


def test_starting_a_workflow_does_not_use_up_the_hold(bench: Bench) -> None:
    bench.define({"name": "w", "receivers": {"flow": "any"}, "starts": [{"workflow": "on_event"}]})
    event = bench.arrive()
    [(target, _)] = bench.decide()
    settle(bench, target, "done")
    assert (bench.event(event).hold, bench.event(event).status) == ("held", "pending")
    task = bench.wait()
    bench.decide()
    assert bench.takers(event) == [task.id]


def test_a_webhook_with_nothing_but_starts_ignores_what_starts_nothing(bench: Bench) -> None:
    bench.define({"name": "w", "starts": [{"workflow": "on_event", "when": {"$.go": True}}]})
    event = bench.arrive(go=False)
    bench.decide()
    assert bench.event(event).status == "ignored"


def test_an_event_of_a_webhook_that_is_not_defined_waits_for_its_definition(bench: Bench) -> None:
    task = bench.wait()
    event = bench.arrive("new", hold=1)
    bench.decide()
    bench.ms += 59 * SECOND
    bench.decide()
    assert bench.event(event).decided_at is None
    bench.define({"name": "new", "receivers": {"flow": "any"}})
    bench.decide()
    assert bench.takers(event) == [task.id]
    never = bench.arrive("never", hold=1)
    bench.ms += 60 * SECOND
    bench.decide()
    assert bench.event(never).status == "expired"


def test_a_new_receiver_takes_what_is_held(bench: Bench) -> None:
    task = bench.wait(name="other")
    event = bench.arrive()
    bench.decide()
    assert bench.takers(event) == []
    bench.define({"name": "w", "receivers": {"other": "any"}})
    bench.decide()
    assert bench.takers(event) == [task.id]


@pytest.mark.parametrize("committed", [False, True])
def test_after_an_error_of_the_store_the_next_decider_goes_on_from_what_is_there(bench: Bench, committed: bool) -> None:
    bench.wait()
    event = bench.arrive()
    decide = bench.store.decisions.decide

    def failing(*given: Any) -> Any:
        if committed:
            decide(*given)
        raise StoreUnavailable

    with mock.patch.object(bench.store.decisions, "decide", failing), pytest.raises(StoreUnavailable):
        bench.decide()
    assert bench.takers(event) == ["t000"] * committed
    bench.restart()
    bench.decide()
    assert bench.takers(event) == ["t000"]


def test_who_has_lost_leadership_decides_nothing(bench: Bench) -> None:
    bench.wait()
    event = bench.arrive()
    bench.store.leadership.resign(ME)
    assert bench.store.leadership.elect("another", 1)
    with pytest.raises(LeadershipLost):
        bench.decide()
    assert bench.event(event).decided_at is None
    assert bench.store.queries.targets_of([event]) == []


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
    assert (target.due_at - bench.ms, target.attempts) == ((5000, 0) if later else (0, target.attempts))


def test_what_is_claimed_at_once_comes_with_its_event_and_the_rest_is_left_for_any_worker(bench: Bench) -> None:
    for _ in range(3):
        bench.wait()
    event = bench.arrive(n=1)
    undecided = bench.store.decisions.agenda(10).undecided
    bench.decider.add_tasks(bench.store.tasks.adopt(ME, bench.conductor.poll("me"), bench.ms))
    claimed = bench.decider.decide(ME, Request(undecided, [], bench.ms, bench.ms, 2))
    assert [(target.task_id, owner.id) for target, owner in claimed] == [("t000", event), ("t001", event)]
    assert [target.state for target in bench.store.queries.targets_of([event])] == ["claimed", "claimed", "pending"]


def test_targets_of_a_webhook_with_a_pace_are_not_claimed_at_once(bench: Bench) -> None:
    bench.define({"name": "w", "starts": [{"workflow": "flow"}], "pace": "5/s"})
    bench.arrive()
    assert bench.decide() == []
    assert len(bench.store.claims.claim("me", bench.ms, 0, 9, {"w": 5.0})) == 1


def test_while_paused_nothing_is_decided_and_afterwards_it_is_as_after_downtime(bench: Bench) -> None:
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
    assert bench.takers(held) == [early.id], "it came within the hold, though that has ended meanwhile"
    assert bench.takers(came) == []
    assert bench.event(came).status == "expired"
