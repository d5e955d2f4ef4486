"""Response time-outs: put off in time, and never beside a completion of the same task."""

from __future__ import annotations

import threading
import time
from unittest import mock

import pytest

from events.records import Task
from worker.errors import Unreachable
from worker.matching import WaitingTask
from worker.task_timeouts import TaskTimeouts


def task(name: str, response_timeout: int = 30) -> WaitingTask:
    return WaitingTask(Task(name, f"workflow of {name}", "flow", "wait", {}, 0, response_timeout), None)


class Server:
    """Remembers what was extended; can be slow."""

    def __init__(self) -> None:
        self.extended: list[str] = []
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        self.error: Exception | None = None

    def extend_lease(self, task_id: str, workflow_id: str) -> None:
        self.begun.set()
        self.go_on.wait(10)
        self.extended.append(task_id)
        if self.error:
            raise self.error


@pytest.fixture
def now() -> object:
    with mock.patch.object(time, "monotonic", return_value=1000.0) as clock:
        yield clock


def test_a_time_out_is_put_off_at_once_and_then_often_enough(now: mock.Mock) -> None:
    server = Server()
    timeouts = TaskTimeouts(server)  # type: ignore[arg-type]
    times = []
    for second in range(60):
        now.return_value = 1000.0 + second
        timeouts.extend([task("t")], lambda _: True)
        if server.extended:
            times.append(second)
            server.extended.clear()
    assert times == [0, 15, 30, 45]


def test_what_does_not_wait_any_more_is_not_extended() -> None:
    server = Server()
    TaskTimeouts(server).extend([task("gone"), task("waits")], lambda task_id: task_id == "waits")  # type: ignore[arg-type]
    assert server.extended == ["waits"]


def test_a_failure_is_no_reason_to_leave_the_others_out() -> None:
    server = Server()
    server.error = Unreachable("no connection")
    TaskTimeouts(server).extend([task("one"), task("two")], lambda _: True)  # type: ignore[arg-type]
    assert server.extended == ["one", "two"]


def test_a_task_is_given_to_an_event_only_after_its_extension_has_ended() -> None:
    server = Server()
    server.go_on.clear()
    timeouts = TaskTimeouts(server)  # type: ignore[arg-type]
    extender = threading.Thread(target=timeouts.extend, args=([task("t")], lambda _: True))
    extender.start()
    assert server.begun.wait(10)
    with timeouts.paused(["another"]):
        pass  # others needn't wait
    given = threading.Event()

    def give() -> None:
        with timeouts.paused(["t"]):
            given.set()

    giver = threading.Thread(target=give)
    giver.start()
    assert not given.wait(0.05)
    server.go_on.set()
    assert given.wait(10)
    giver.join()
    extender.join()


def test_a_task_that_is_being_given_to_an_event_is_not_extended() -> None:
    server = Server()
    timeouts = TaskTimeouts(server)  # type: ignore[arg-type]
    with timeouts.paused({"t": "event"}):
        timeouts.extend([task("t"), task("u")], lambda _: True)
    assert server.extended == ["u"]
