"""The delivery rules by example; `test_rules` plays them in any order."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from config.webhooks import Definitions, Webhook
from store.errors import LeadershipLost, StoreUnavailable
from store.records import Event, NewEvent, Result, Target
from store.sqlite import SqliteStore, open_store
from tests.store.contract.makers import ME
from tests.worker.play import Later
from tests.worker.simulated import SimulatedConductor, SimulatedTask, failed, forbidden
from worker.conductor.errors import Unreachable
from worker.health import Health
from worker.leader.callbacks import Callbacks
from worker.leader.decider import Decider
from worker.leader.task_timeouts import TaskTimeouts
from worker.leader.workflows import Workflows

SECOND = 1000


class Bench:
    """A decider, a store and a simulated Conductor whose clock is `offset` ahead."""

    def __init__(self, folder: Path) -> None:
        self.ms = 1_700_000_000_000
        self.store: SqliteStore = open_store(f"sqlite:///{folder}/bridge.db")
        self.store.leadership.elect("me", 10**9)
        self.conductor = SimulatedConductor(lambda: self.ms)
        self.decider = self.another()
        self.define({"name": "w", "receivers": {"flow": "any", "sub": "any"}, "hold": "10m"})
        self.number = 0

    def another(self) -> Decider:
        conductor: Any = self.conductor
        workflows = Workflows(self.store, conductor, pool=None, clock=self)
        timeouts = TaskTimeouts(conductor, self.store.task_locks, self.store, "me", Later(), steady=self)
        callbacks = Callbacks(conductor, None, self, clock=self)
        return Decider(self.store, workflows, self.conductor.server_clock, timeouts, callbacks, skew=2.0)

    def monotonic(self) -> float:
        return self.ms / 1000

    def now(self) -> int:
        return self.ms

    @property
    def looked_up(self) -> list[str]:
        """The workflows that Conductor was asked for."""
        return self.conductor.workflow_lookups

    def define(self, *webhooks: dict[str, Any]) -> None:
        self.definitions = Definitions(tuple(map(Webhook.model_validate, webhooks)))
        self.decider.set_definitions(self.definitions)

    def restart(self) -> None:
        """The next worker begins with what is in the store."""
        self.decider = self.another()
        self.decider.set_definitions(self.definitions)
        self.decider.load(ME, Health(self.store.leadership))

    def wait(self, matches: Any = None, workflow: str = "", name: str = "flow", version: int = 1) -> SimulatedTask:
        """A task comes to wait, in a new workflow if in no other."""
        workflow = workflow or self.conductor.begin(name, version).id
        return self.conductor.schedule(workflow, f"wait{len(self.conductor.tasks)}", matches)

    def arrive(self, webhook: str = "w", hold: int = 600, **payload: Any) -> str:
        self.number += 1
        id_ = f"event{self.number}"
        self.store.deliveries.append(
            [NewEvent(id_, webhook, self.ms, json.dumps(payload), {}, {}, self.ms + hold * SECOND)]
        )
        return id_

    def decide(self) -> list[tuple[Target, Event]]:
        """A scan, and the decision after it."""
        began = self.ms
        agenda = self.store.decisions.agenda(100, self.decider.undefined(self.ms))
        self.decider.set_paused(agenda.paused)
        while tasks := self.conductor.poll("me"):
            self.decider.add_tasks(self.store.tasks.adopt(ME, tasks, self.ms))
        return self.decider.decide(ME, agenda.undecided, agenda.freed, began, self.ms, 100)

    def takers(self, event_id: str) -> list[str]:
        return [str(t.task_id) for t in self.store.queries.targets_of([event_id]) if t.kind == "complete"]

    def event(self, event_id: str) -> Event:
        found = self.store.queries.event(event_id)
        assert found is not None
        return found


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    with mock.patch.object(time, "time", lambda: bench.ms / 1000):
        yield bench
    bench.store._connections.close()


def settle(bench: Bench, target: Target, state: Any) -> None:
    """A call has come to this end."""
    bench.store.claims.record_results("me", [Result(target, state)], bench.ms)


def test_an_event_goes_to_every_matching_task_that_was_waiting_and_needs_no_look_up(bench: Bench) -> None:
    one, other, not_ = bench.wait(), bench.wait({"$.n": 1}), bench.wait({"$.n": 2})
    event = bench.arrive(n=1)
    assert [target.task_id for target, _ in bench.decide()] == [one.id, other.id]
    assert bench.takers(event) == [one.id, other.id]
    assert not_.id in bench.decider.tasks
    assert bench.looked_up == []


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


# --- failures ---


def sick(bench: Bench, *tasks: SimulatedTask) -> None:
    """Conductor can't show the workflows of these tasks from now on."""
    bench.conductor.sick = {task.workflow_id for task in tasks}


def heal(bench: Bench) -> None:
    """It can again, and the time of the next look-up has come."""
    bench.conductor.sick = set()
    bench.ms += 31 * SECOND


@pytest.mark.parametrize("answer", [failed(500), forbidden(), Unreachable("no"), KeyError("garbage")])
def test_a_workflow_that_cannot_be_shown_delays_its_own_task_alone(bench: Bench, answer: Exception) -> None:
    bench.define({"name": "w", "receivers": {"flow": [1, 2]}}, {"name": "other", "receivers": {"sub": 1}})
    ill, well, elsewhere = bench.wait(), bench.wait(), bench.wait(name="sub")
    sick(bench, ill)
    bench.conductor.sick_answer = lambda: answer
    event, other = bench.arrive(), bench.arrive("other")
    bench.decide()
    targets = {target.task_id: target.only_versions for target in bench.store.queries.targets_of([event, other])}
    assert targets == {ill.id: (1, 2), well.id: None, elsewhere.id: None}


def test_a_task_in_doubt_that_was_not_the_events_waits_on_and_the_event_is_held_for_others(bench: Bench) -> None:
    bench.define({"name": "w", "receivers": {"flow": 2}, "hold": "10m"})
    ill = bench.wait()
    sick(bench, ill)
    event = bench.arrive()
    [(target, _)] = bench.decide()
    bench.store.claims.record_results("me", [Result(target, "cancelled", "version 1", unfit=True)], bench.ms)
    returned = bench.store.decisions.agenda(9).returned
    assert [task.id for task in returned] == [ill.id]
    bench.store.tasks.wait_again(ME, [ill.id])
    bench.decider.add_tasks(returned)
    bench.decide()
    assert bench.event(event).hold == "held"
    late = bench.wait(version=2)
    heal(bench)
    bench.decide()
    assert bench.takers(event) == [ill.id, late.id]
    assert ill.id in bench.decider.tasks


def test_a_held_event_stays_held_for_a_task_in_doubt_which_takes_it_when_it_can_be_looked_up(bench: Bench) -> None:
    workflow = bench.conductor.begin("flow").id
    event = bench.arrive(hold=5)
    bench.decide()
    bench.ms += SECOND
    task = bench.wait(workflow=workflow)
    sick(bench, task)
    for _ in range(3):
        bench.ms += 10 * SECOND
        bench.decide()
        assert bench.event(event).hold == "held", "also when its hold has ended: the task came within it"
    heal(bench)
    bench.decide()
    assert bench.takers(event) == [task.id]


def test_a_held_event_expires_when_the_task_in_doubt_turns_out_not_to_be_for_it(bench: Bench) -> None:
    bench.define({"name": "w", "receivers": {"flow": 2}, "hold": "5s"})
    workflow = bench.conductor.begin("flow").id
    event = bench.arrive(hold=5)
    bench.decide()
    bench.ms += SECOND
    sick(bench, bench.wait(workflow=workflow))
    bench.ms += 10 * SECOND
    bench.decide()
    assert bench.event(event).hold == "held"
    heal(bench)
    bench.decide()
    assert bench.event(event).status == "expired"


def test_another_task_may_take_an_event_that_one_in_doubt_might(bench: Bench) -> None:
    ill, well = bench.conductor.begin("flow").id, bench.conductor.begin("flow").id
    event = bench.arrive()
    bench.decide()
    bench.ms += SECOND
    first, second = bench.wait(workflow=ill), bench.wait(workflow=well)
    sick(bench, first)
    bench.decide()
    assert bench.takers(event) == [second.id]
    heal(bench)
    bench.decide()
    assert first.id in bench.decider.tasks


def held_for_one_in_doubt(bench: Bench) -> tuple[str, SimulatedTask]:
    """The id of an event that is held, and a task that came later and may be its taker, which is in doubt."""
    workflow = bench.conductor.begin("flow").id
    event = bench.arrive()
    bench.decide()
    bench.ms += SECOND
    task = bench.wait(workflow=workflow)
    sick(bench, task)
    bench.decide()
    return event, task


def test_a_later_event_does_not_overtake_one_that_is_held_for_a_task_in_doubt(bench: Bench) -> None:
    first, task = held_for_one_in_doubt(bench)
    bench.ms += SECOND
    second = bench.arrive()
    bench.decide()
    assert bench.event(second).hold == "held"
    heal(bench)
    bench.decide()
    assert bench.takers(first) == [task.id]
    next_one = bench.wait(workflow=task.workflow_id)
    bench.decide()
    assert bench.takers(second) == [next_one.id]


def test_events_that_are_decided_together_keep_their_order_over_a_task_in_doubt(bench: Bench) -> None:
    workflow = bench.conductor.begin("flow").id
    first = bench.arrive()
    bench.ms += 10
    task = bench.wait(workflow=workflow)
    sick(bench, task)
    bench.ms += 10
    second, third = bench.arrive(), bench.arrive()
    bench.decide()
    assert [bench.event(event).hold for event in (first, second, third)] == ["held"] * 3
    heal(bench)
    bench.decide()
    assert bench.takers(first) == [task.id]


def test_an_event_goes_to_a_task_in_doubt_at_once_if_it_goes_to_another_too(bench: Bench) -> None:
    first, ill = held_for_one_in_doubt(bench)
    well = bench.wait({"$.n": 1})
    bench.ms += SECOND
    second = bench.arrive(n=1)
    bench.decide()
    assert sorted(bench.takers(second)) == sorted([ill.id, well.id])
    assert bench.event(first).hold == "held"


def test_an_event_whose_hold_ended_in_a_downtime_is_kept_for_a_task_in_doubt_that_came_in_time(bench: Bench) -> None:
    workflow = bench.conductor.begin("flow").id
    bench.ms += SECOND
    event = bench.arrive(hold=10)
    bench.ms += SECOND
    task = bench.wait(workflow=workflow)
    bench.ms += 60 * SECOND
    sick(bench, task)
    bench.decide()
    bench.decide()
    assert bench.event(event).hold == "held"
    heal(bench)
    bench.decide()
    assert bench.takers(event) == [task.id]


def test_an_event_for_several_tasks_in_doubt_goes_to_all_of_them(bench: Bench) -> None:
    """Held, it would go to one, and the others would have missed it if the earlier one was for none of them."""
    first = bench.arrive()
    bench.decide()
    bench.ms += 10 * SECOND
    tasks = [bench.wait(), bench.wait()]
    sick(bench, *tasks)
    bench.decide()
    bench.ms += SECOND
    second = bench.arrive()
    bench.decide()
    heal(bench)
    bench.decide()
    assert sorted(bench.takers(second)) == sorted(task.id for task in tasks)
    assert bench.event(first).hold == "held"


def test_an_event_that_another_task_takes_holds_up_no_later_one_for_a_task_in_doubt(bench: Bench) -> None:
    well = bench.conductor.begin("flow").id
    ill_workflow = bench.conductor.begin("flow").id
    bench.ms += 10
    first = bench.arrive()
    bench.ms += 10
    ill, other = bench.wait(workflow=ill_workflow), bench.wait(workflow=well)
    sick(bench, ill)
    bench.ms += 10
    second = bench.arrive()
    bench.decide()
    assert bench.takers(first) == [other.id]
    assert bench.takers(second) == [ill.id]


def test_a_look_up_that_fails_is_not_repeated_at_once_but_ever_more_rarely(bench: Bench) -> None:
    workflow = bench.conductor.begin("flow").id
    bench.arrive(hold=3600)
    bench.decide()
    bench.ms += SECOND
    sick(bench, bench.wait(workflow=workflow))
    for _ in range(1000):
        bench.ms += SECOND
        bench.decide()
    assert 30 < len(bench.looked_up) < 50


def test_a_task_in_doubt_that_another_event_takes_lets_the_event_expire_at_once(bench: Bench) -> None:
    bench.define(
        {"name": "w", "receivers": {"flow": 1}, "hold": "5s"}, {"name": "v", "receivers": {"flow": "any"}, "hold": "5s"}
    )
    workflow = bench.conductor.begin("flow").id
    event = bench.arrive(hold=5)
    bench.decide()
    bench.ms += SECOND
    task = bench.wait(workflow=workflow)
    sick(bench, task)
    bench.ms += 10 * SECOND
    bench.decide()
    assert bench.event(event).hold == "held"
    other = bench.arrive("v")
    bench.decide()
    assert bench.takers(other) == [task.id]
    assert bench.event(event).status == "expired"


def test_a_task_in_doubt_that_ends_lets_the_event_expire(bench: Bench) -> None:
    workflow = bench.conductor.begin("flow").id
    event = bench.arrive(hold=5)
    bench.decide()
    bench.ms += SECOND
    task = bench.wait(workflow=workflow)
    sick(bench, task)
    bench.ms += 10 * SECOND
    bench.decide()
    assert bench.event(event).status == "pending"
    bench.decider.drop_tasks([task.id])
    bench.decide()
    assert bench.event(event).status == "expired"


def test_a_workflow_that_conductor_did_not_know_is_asked_for_again(bench: Bench) -> None:
    workflow = bench.conductor.begin("flow").id
    bench.ms += SECOND
    event = bench.arrive()
    bench.ms += SECOND
    task = bench.wait(workflow=workflow)
    with mock.patch.object(bench.conductor, "workflow", return_value=None):
        bench.decide()
    assert bench.takers(event) == []
    bench.restart()
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
    with mock.patch.object(bench.decider._writer._timeouts, "suspended", suspended):
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
    claimed = bench.decider.decide(ME, undecided, [], bench.ms, bench.ms, 2)
    assert [(target.task_id, owner.id) for target, owner in claimed] == [("t000", event), ("t001", event)]
    assert [target.state for target in bench.store.queries.targets_of([event])] == ["claimed", "claimed", "pending"]


def test_held_events_that_are_taken_are_read_a_few_at_a_time(bench: Bench) -> None:
    workflow = bench.conductor.begin("flow").id
    bench.ms += SECOND
    events = [bench.arrive(n=number) for number in range(12)]
    bench.decide()
    bench.ms += SECOND
    for _ in events:
        bench.wait(workflow=workflow)
    with mock.patch.object(bench.store.queries, "events_of", wraps=bench.store.queries.events_of) as read:
        claimed = bench.decide()
    assert [event.id for _, event in claimed] == events
    assert [len(call.args[0]) for call in read.call_args_list] == [8, 4]


# --- start or resume, once, pace, pause ---

TALK = {
    "name": "w",
    "receivers": {"flow": "any"},
    "starts": [{"workflow": "flow", "unless": "taken", "once": {"key": "$.id"}}],
}


def starts(bench: Bench, event_id: str) -> list[Target]:
    return [target for target in bench.store.queries.targets_of([event_id]) if target.kind == "start"]


def record(bench: Bench, event_id: str, state: Any) -> None:
    live = [target for target in bench.store.queries.targets_of([event_id]) if target.state == "claimed"]
    bench.store.claims.record_results("me", [Result(target, state) for target in live], bench.ms)


def test_a_start_unless_taken_is_made_only_if_no_task_takes_the_event_which_is_then_not_held(bench: Bench) -> None:
    bench.define(TALK)
    first = bench.arrive()
    bench.decide()
    assert (len(starts(bench, first)), bench.store.decisions.held(0, 9)) == (1, [])
    task = bench.wait()
    bench.ms += SECOND
    second = bench.arrive()
    bench.decide()
    assert (bench.takers(second), starts(bench, second)) == ([task.id], [])


def test_an_event_whose_takers_are_all_gone_makes_the_start_that_they_forbade(bench: Bench) -> None:
    bench.define(TALK)
    bench.wait()
    bench.ms += SECOND
    event_id = bench.arrive()
    bench.decide()
    record(bench, event_id, "cancelled")
    bench.decide()
    [start] = starts(bench, event_id)
    assert start.correlation_id == event_id
    record(bench, event_id, "done")
    assert bench.event(event_id).status == "delivered"


def test_an_event_whose_takers_are_gone_is_held_if_the_start_was_made_before(bench: Bench) -> None:
    bench.define({**TALK, "starts": [{"workflow": "flow"}]})
    bench.wait()
    bench.ms += SECOND
    event_id = bench.arrive()
    bench.decide()
    bench.define(TALK)
    for target in bench.store.queries.targets_of([event_id]):
        state: Any = "done" if target.kind == "start" else "cancelled"
        bench.store.claims.record_results("me", [Result(target, state)], bench.ms)
    bench.decide()
    assert len(starts(bench, event_id)) == 1
    assert [event.id for event in bench.store.decisions.held(0, 9)] == [event_id]


def test_starts_of_one_value_have_one_key_and_those_without_a_value_none(bench: Bench) -> None:
    bench.define(TALK)
    for payload in ({"id": 7}, {"id": "7"}, {"id": 8}, {}):
        bench.arrive(**payload)
    bench.decide()
    seven, same, eight, none = (starts(bench, f"event{number}")[0] for number in (1, 2, 3, 4))
    assert seven.once_key == same.once_key != eight.once_key
    assert (seven.once_while, none.once_key, none.once_while) == ("running", None, None)
    holder = bench.store.once_keys.holder(str(seven.once_key))
    assert holder is not None
    assert holder.target_id == seven.id


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


def test_an_edit_of_an_entrys_input_changes_only_starts_that_are_decided_afterwards(bench: Bench) -> None:
    def inputs(event: str) -> list[str | None]:
        return [target.input for target in bench.store.queries.targets_of([event])]

    starts = {"name": "w", "starts": [{"workflow": "flow", "input": {"a": "$.n"}}, {"workflow": "flow"}]}
    bench.define(starts)
    before = bench.arrive(n=1)
    bench.decide()
    bench.define({**starts, "starts": [{"workflow": "flow"}, {"workflow": "flow", "input": {}}]})
    after = bench.arrive(n=2)
    bench.decide()
    assert (inputs(before), inputs(after)) == (['{"a": "$.n"}', None], [None, "{}"])
