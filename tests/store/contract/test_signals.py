"""How one process learns of another's commits at once. A wait that isn't ended fails only by the
suite's time-out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from store.answers import Answer
from store.delivery_records import AnswerWanted
from store.sql.database import Listener, Topic
from store.sql.store import Store
from tests.support.deciding import adopt
from tests.support.descriptors import is_written_elsewhere
from tests.support.makers import ME, NOW, arrive, completion, decide, end, start, task

LONG = 120.0
"""Seconds that a wait would take which isn't ended."""


@contextmanager
def listening(store: Store, topic: Topic) -> Iterator[Listener]:
    listener = store.signals.listener(topic)
    try:
        listener.wait(0)
        yield listener
    finally:
        listener.close()


def ended(listener: Listener) -> bool:
    """Whether the wait ended before its time, and said so."""
    began = time.monotonic()
    told = listener.wait(LONG)
    return told and time.monotonic() - began < LONG / 2


@pytest.mark.parametrize("topic", ["events", "targets", "answers"])
def test_what_another_process_commits_ends_the_wait(
    store: Store, other: Store, topic: Topic
) -> None:
    decide(store, arrive(store, "e0", answer=AnswerWanted("$.a", NOW)), start())
    commits: dict[Topic, Callable[[], object]] = {
        "events": lambda: arrive(other),
        "targets": lambda: decide(other, "e0", start(2)),
        "answers": lambda: other.answers.record([Answer("e0", "FAILED", "w1")]),
    }
    with listening(store, topic) as listener:
        timer = threading.Timer(0.05, commits[topic])
        timer.start()
        assert ended(listener)
        timer.join()


@pytest.mark.parametrize("topic", ["events", "targets", "answers"])
def test_what_came_between_two_waits_ends_the_next_one(
    store: Store, other: Store, topic: Topic
) -> None:
    with listening(store, topic) as listener:
        decide(other, arrive(other, answer=AnswerWanted("$.a", NOW)), start())
        other.answers.record([Answer("e1", "FAILED", "w1")])
        assert ended(listener)


@pytest.mark.parametrize("topic", ["events", "targets", "answers"])
def test_a_wait_is_ended_by_another_thread_or_else_the_next_one_is(
    store: Store, topic: Topic
) -> None:
    with listening(store, topic) as listener:
        timer = threading.Timer(0.05, listener.wake)
        timer.start()
        assert ended(listener)
        timer.join()
        listener.wake()
        listener.wake()
        assert ended(listener)
    listener.wake()
    listener.close()


def test_a_wake_up_that_is_overtaken_by_the_closing_reaches_no_other_file(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = store.signals.listener("targets")
    assert not is_written_elsewhere(monkeypatch, listener.wake, listener.close)


@pytest.mark.parametrize("outcome", ["cancelled", "failed"])
def test_the_decider_hears_of_results_that_leave_it_something(
    store: Store, other: Store, outcome: str
) -> None:
    adopt(store, ME, [task()], NOW)
    decide(store, arrive(store), completion())
    with listening(store, "events") as listener:
        end(other, "e1", outcome)  # type: ignore[arg-type]
        assert ended(listener)


def test_the_followers_hear_of_a_leader_that_resigns(store: Store, other: Store) -> None:
    with listening(other, "targets") as listener:
        store.leadership.resign(ME)
        assert ended(listener)


def test_several_followers_hear_of_the_same_news(store: Store, other: Store) -> None:
    with listening(other, "targets") as one, listening(other, "targets") as two:
        decide(store, arrive(store), start())
        assert ended(one)
        assert ended(two)
