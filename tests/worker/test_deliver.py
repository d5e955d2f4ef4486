"""Calls for targets: claimed, made once, and looked up after anything but a clear answer."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from events.event import Decision, Event, NewEvent, NewTarget, Target, Task, new_event_id
from events.sqlite import SqliteStore, open_store
from worker.conductor import ConductorError, NotFound, OutcomeUnknown, TaskStatus, Unreachable
from worker.deliver import Deliverer

TIMEOUT = 0.2


class Server:
    """Conductor as a list of answers; an exception among them is raised."""

    timeout = longest_call = TIMEOUT

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.completing: list[str | ConductorError | None] = []
        self.starting: list[str | ConductorError] = []
        self.status: TaskStatus | None = TaskStatus(False, None)
        self.started_already: str | None = None
        self.outputs: list[dict[str, Any]] = []

    def complete(self, workflow_id: str, name: str, output: dict[str, Any], event_id: str, *_: Any) -> str | None:
        self.calls.append("complete")
        self.outputs.append(output)
        answer = self.completing.pop(0)
        if isinstance(answer, ConductorError):
            raise answer
        return answer

    def start(self, name: str, version: int | None, payload: dict[str, Any], correlation_id: str, *_: Any) -> str:
        self.calls.append(f"start {name} {version} {correlation_id}")
        answer = self.starting.pop(0)
        if isinstance(answer, ConductorError):
            raise answer
        return answer

    def task(self, task_id: str) -> TaskStatus | None:
        self.calls.append("task")
        return self.status

    def started(self, name: str, correlation_id: str) -> str | None:
        self.calls.append("started")
        return self.started_already

    def completed_by(self, workflow_id: str, name: str, event_id: str) -> bool:
        self.calls.append("completed_by")
        return False


class World:
    """A store with one event, and a deliverer that runs."""

    def __init__(self, store: SqliteStore):
        self.store = store
        self.server = Server()
        self.for_decider = 0
        self.deliverer = Deliverer(
            store,
            self.server,  # type: ignore[arg-type]
            "worker",
            lambda event: event.document(),
            self._wake,
        )
        now = int(time.time() * 1000)
        store.acquire_lease("decider", now, now + 60_000)
        store.adopt("decider", [Task("task", "workflow", "flow", "ref", {}, now)], now)
        new = NewEvent(new_event_id(), "w", now, json.dumps({"a": 1}), {}, {}, now + 60_000)
        store.append([new])
        self.event_id = new.id

    def _wake(self) -> None:
        self.for_decider += 1

    def decide(self, *targets: NewTarget) -> None:
        now = int(time.time() * 1000)
        self.store.decide("decider", [Decision(self.event_id, "pending", 0, targets)], [], now, None, 0)
        self.deliverer.start()
        self.deliverer.look()

    @property
    def event(self) -> Event:
        event = self.store.event(self.event_id)
        assert event is not None
        return event

    @property
    def target(self) -> Target:
        return self.store.targets_of([self.event_id])[0]

    def wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, (self.target, self.server.calls)
            time.sleep(0.005)


COMPLETION = NewTarget("complete", "flow", workflow_id="workflow", task_id="task", reference_name="ref")


def start_of(world: World) -> NewTarget:
    return NewTarget("start", "flow", version=2, correlation_id=world.event_id)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    store = open_store(f"sqlite:///{tmp_path / 'bridge.db'}")
    world = World(store)
    yield world
    if world.deliverer._thread.is_alive():
        world.deliverer.stop()
    store.close()


def test_a_clear_answer_needs_no_look_up(world: World) -> None:
    world.server.completing = ["task"]
    world.decide(COMPLETION)
    world.wait(lambda: world.event.status == "delivered")
    assert world.server.calls == ["complete"]
    assert world.server.outputs[0]["a"] == 1
    task = world.store.task("task")
    assert task is not None
    assert task.state == "completed"


def test_a_task_that_others_ended_leaves_the_event_free_again(world: World) -> None:
    world.server.completing = [None]
    world.server.status = TaskStatus(True, "somebody")
    world.decide(COMPLETION)
    world.wait(lambda: world.event.held == 2)
    world.wait(lambda: world.for_decider > 0)
    assert world.target.state == "cancelled"


def test_after_a_lost_answer_the_task_is_asked_whether_the_event_completed_it(world: World) -> None:
    world.server.completing = [OutcomeUnknown("broke off")]
    world.server.status = TaskStatus(True, world.event_id)
    world.decide(COMPLETION)
    world.wait(lambda: world.event.status == "delivered")
    assert world.server.calls == ["complete", "task"]


def test_no_look_up_comes_before_the_lost_calls_time_out_has_passed(world: World) -> None:
    world.server.completing = [OutcomeUnknown("broke off"), "task"]
    world.decide(COMPLETION)
    world.wait(lambda: world.target.state == "pending" and world.target.attempts == 1)
    target = world.target
    assert target.claimed_at is not None
    assert target.due_at >= target.claimed_at + TIMEOUT * 1000
    assert target.error == "broke off"
    world.wait(lambda: world.event.status == "delivered")


def test_a_start_whose_answer_was_lost_is_not_repeated(world: World) -> None:
    world.server.starting = [OutcomeUnknown("broke off")]
    world.server.started_already = "workflow-2"
    world.decide(start_of(world))
    world.wait(lambda: world.event.status == "delivered")
    assert world.server.calls == [f"start flow 2 {world.event_id}", "started"]
    assert world.target.workflow_id == "workflow-2"


def test_what_never_left_is_tried_again_when_conductor_is_back(world: World) -> None:
    world.server.completing = [Unreachable("no connection"), "task"]
    world.decide(COMPLETION)
    world.wait(lambda: world.event.status == "delivered")
    assert world.target.attempts == 2


def test_only_what_conductor_refuses_for_good_fails(world: World) -> None:
    world.server.starting = [NotFound("404 No such workflow defined. name=flow, version=2")]
    world.decide(start_of(world))
    world.wait(lambda: world.event.status == "failed")
    assert world.target.error == "404 No such workflow defined. name=flow, version=2"
    assert world.server.calls == [f"start flow 2 {world.event_id}"]


def test_a_bug_in_between_loses_no_target(world: World) -> None:
    world.server.completing = ["task"]
    output = world.deliverer._output
    world.deliverer._output = lambda event: 1 / 0  # type: ignore[assignment, return-value]
    world.decide(COMPLETION)
    world.wait(lambda: world.target.attempts == 1 and world.target.state == "pending")
    world.deliverer._output = output
    world.wait(lambda: world.event.status == "delivered")
    assert "complete" in world.server.calls
