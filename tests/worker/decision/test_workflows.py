"""Look-ups of workflows: beside the loop, remembered, and in doubt where Conductor can't say."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from store.records import SetAside, Workflow
from tests.support.clock import Clock
from tests.worker.play import Now
from tools.servers import eventually
from worker.decision.workflows import InDoubt, Workflows

pytestmark = pytest.mark.usefixtures("patient_look_ups")


class Store:
    """What the look-ups need of one."""

    def __init__(self) -> None:
        self.known: dict[str, Workflow] = {}
        self.refused: set[str] = set()
        self.error: Exception | None = None
        self.aside: dict[str, SetAside] = {}
        self.ms = 0
        self.workflows = self.quarantine = self

    def find(self, workflow_id: str) -> Workflow | None:
        if self.error is not None:
            raise self.error
        return self.known.get(workflow_id)

    def forget(self, workflow_ids: Any) -> None:
        for id_ in workflow_ids:
            self.known.pop(id_, None)

    def now(self) -> int:
        return self.ms

    def set_aside(self, items: Any) -> None:
        self.aside.update((item.id, item) for item in items)

    def take_back(self, kind: str, ids: Any) -> None:
        assert kind == "workflow"
        for id_ in ids:
            del self.aside[id_]

    def remember(self, workflows: Any) -> None:
        if any(workflow.id in self.refused for workflow in workflows):
            raise OverflowError("too large")
        self.known.update((workflow.id, workflow) for workflow in workflows)


class Bench:
    """Look-ups of which some hang until they are let go."""

    def __init__(self) -> None:
        self.store = Store()
        self.clock = Clock()
        self.asked: list[str] = []
        self.failing: set[str] = set()
        self.hanging: dict[str, threading.Event] = {}
        self.pool = ThreadPoolExecutor(4)
        store: Any = self.store
        # Its own clock stands still, so that what a test waits for is an answer or the patience for
        # one.
        self.workflows = Workflows(store, self, self.pool, self.clock, 4)
        self.alone = Workflows(store, self, Now(), self.clock)

    def within(self, seconds: float) -> Bench:
        return self

    def workflow(self, workflow_id: str) -> Workflow | None:
        self.asked.append(workflow_id)
        if workflow_id in self.hanging:
            self.hanging[workflow_id].wait(60)
        if workflow_id in self.failing:
            raise ValueError("500")
        return None if workflow_id == "gone" else Workflow(workflow_id, 1, workflow_id, 0, None)

    def hang(self, *workflow_ids: str) -> None:
        self.hanging.update((workflow_id, threading.Event()) for workflow_id in workflow_ids)

    def close(self) -> None:
        for event in self.hanging.values():
            event.set()
        self.pool.shutdown()


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def shown(workflows: Workflows, workflow_id: str) -> str:
    try:
        return workflows.get(workflow_id).id
    except InDoubt:
        return "in doubt"


def test_those_that_hang_queue_before_no_other_however_many_are_asked_for(bench: Bench) -> None:
    names = [f"w{number}" for number in range(100)]
    bench.hang(*names)
    bench.workflows.begin()
    bench.workflows.look_up(names)
    assert set(names[4:]) <= bench.workflows.begin(), "they are asked for again"
    eventually(lambda: len(bench.asked) == 4)
    for name in bench.asked:
        bench.hanging[name].set()
    eventually(lambda: not bench.workflows._answers.empty())
    bench.workflows.begin()
    assert shown(bench.workflows, "other") == "other"
    assert len(bench.asked) == 5


def test_a_look_up_that_hangs_holds_up_no_other_and_its_answer_is_taken_when_it_is_there(
    bench: Bench,
) -> None:
    bench.hang("ill")
    bench.workflows.begin()
    bench.workflows.look_up(["a", "ill", "b"])
    assert [shown(bench.workflows, name) for name in ("a", "ill", "b")] == ["a", "in doubt", "b"]
    assert bench.workflows.due_in() <= 0.25, "the loop looks whether it has been answered"
    bench.hanging["ill"].set()
    eventually(lambda: not bench.workflows._answers.empty())
    assert "ill" in bench.workflows.begin()
    assert shown(bench.workflows, "ill") == "ill"
    assert bench.asked.count("ill") == 1


def test_those_that_failed_before_and_hang_leave_room_to_others(bench: Bench) -> None:
    bench.failing = {f"ill{number}" for number in range(9)}
    bench.workflows.begin()
    bench.workflows.look_up(sorted(bench.failing))
    bench.hang(*bench.failing)
    bench.clock.seconds += 60
    bench.workflows.begin()
    bench.workflows.look_up([*sorted(bench.failing), "well"])
    assert shown(bench.workflows, "well") == "well"
    assert len(bench.workflows._running) == 2
    assert bench.workflows.begin() >= {"well"}


def test_a_failed_look_up_is_tried_again_ever_more_rarely(bench: Bench) -> None:
    bench.failing = {"ill"}
    tries = []
    for second in range(200):
        bench.clock.seconds = second
        if "ill" in bench.alone.begin() or not tries:
            assert shown(bench.alone, "ill") == "in doubt"
            tries.append(second)
        assert shown(bench.alone, "ill") == "in doubt"
    assert len(bench.asked) == len(tries) < 15, "in the end every half minute"
    with pytest.raises(InDoubt, match="workflow ill can't be looked up: 500"):
        bench.alone.get("ill")
    bench.failing = set()
    bench.clock.seconds += 31
    assert bench.alone.begin() == {"ill"}
    assert shown(bench.alone, "ill") == "ill"


def test_a_workflow_that_conductor_does_not_know_is_in_doubt(bench: Bench) -> None:
    """A 404 may be another server's. Once the task is known to be over, nobody asks any more."""
    bench.alone.begin()
    assert (shown(bench.alone, "gone"), shown(bench.alone, "gone")) == ("in doubt", "in doubt")
    assert bench.asked == ["gone"]


def test_a_workflow_whose_version_may_have_changed_is_looked_up_again(bench: Bench) -> None:
    bench.alone.begin()
    bench.alone.look_up(["a"])
    bench.alone.read_again(["a"])
    assert shown(bench.alone, "a") == "a"
    bench.alone.save()
    assert bench.asked == ["a", "a"]
    bench.alone.read_again(["a"])
    assert bench.store.known == {}

    bench.hang("b")
    bench.workflows.begin()
    bench.workflows.look_up(["b"])
    bench.workflows.read_again(["b"])
    bench.hanging["b"].set()
    eventually(lambda: not bench.workflows._answers.empty())
    bench.workflows.begin()
    assert shown(bench.workflows, "b") == "b"
    assert bench.asked.count("b") == 2, "the answer that was awaited may have been older"


def test_what_was_looked_up_is_stored_but_for_what_the_store_refuses(bench: Bench) -> None:
    bench.store.refused = {"b"}
    bench.alone.begin()
    bench.alone.look_up(["a", "b", "c"])
    bench.alone.save()
    assert set(bench.store.known) == {"a", "c"}
    assert shown(bench.alone, "b") == "b", "it is known all the same"


def test_people_are_shown_what_goes_on_failing_until_it_can_be_looked_up(bench: Bench) -> None:
    bench.failing = {"ill"}
    seen: set[int] = set()
    for second in range(100):
        bench.clock.seconds, bench.store.ms = second, 7000 + 1000 * second
        bench.alone.begin()
        assert shown(bench.alone, "ill") == "in doubt"
        bench.alone.save()
        seen |= {item.tries for item in bench.store.aside.values()}
    assert min(seen) == 3
    item = bench.store.aside["ill"]
    assert (item.kind, item.reason) == ("workflow", "workflow ill can't be looked up: 500")
    assert item.since == 7000
    bench.failing = set()
    bench.clock.seconds += 31
    bench.alone.begin()
    assert shown(bench.alone, "ill") == "ill"
    bench.alone.save()
    assert bench.store.aside == {}


def test_a_doubt_that_nobody_asks_about_any_more_is_forgotten_and_not_shown_for_ever(
    bench: Bench,
) -> None:
    bench.failing = {"ill"}
    for second in range(0, 100, 31):
        bench.clock.seconds = second
        bench.alone.begin()
        assert shown(bench.alone, "ill") == "in doubt"
        bench.alone.save()
    assert list(bench.store.aside) == ["ill"]
    for second in range(100, 500, 10):
        bench.clock.seconds = second
        bench.alone.begin()
        bench.alone.save()
    assert bench.store.aside == {}
    assert not bench.alone._doubts.all()
