"""Messages to a thread that owns some state."""

from __future__ import annotations

from functools import partial

import pytest
from structlog.testing import capture_logs

from store.errors import StoreUnavailable
from worker.inbox import Inbox


@pytest.mark.parametrize("most", [0, 8])
def test_messages_that_come_meanwhile_are_for_the_next_time(most: int) -> None:
    """Otherwise a thread to which others always have something to say would do nothing else."""
    inbox = Inbox("the owner", most)
    handled: list[int] = []

    def handle(number: int) -> None:
        handled.append(number)
        if number < 1000:
            inbox.put(partial(handle, number + 2))

    for number in (0, 1):
        inbox.put(partial(handle, number))
    inbox.handle(0)
    assert handled == [0, 1]
    inbox.handle(0)
    assert handled == [0, 1, 2, 3]


def test_a_message_that_fails_is_logged_and_the_others_are_handled() -> None:
    inbox = Inbox("the owner", concerns_all=lambda error: isinstance(error, StoreUnavailable))
    handled: list[str] = []

    def fail(error: Exception) -> None:
        raise error

    for message in (partial(fail, RuntimeError("a bug")), partial(handled.append, "first")):
        inbox.put(message)
    with capture_logs() as logs:
        inbox.handle(0)
    assert handled == ["first"]
    assert [line["event"] for line in logs] == ["a message to the owner failed unexpectedly"]
    inbox.put(partial(fail, StoreUnavailable("away")))
    inbox.put(partial(handled.append, "second"))
    with pytest.raises(StoreUnavailable):
        inbox.handle(0)
    inbox.handle(0)
    assert handled == ["first", "second"]


def test_an_inbox_that_is_full_takes_no_more_until_it_is_read() -> None:
    inbox = Inbox("the owner", most=1)
    handled: list[str] = []
    assert inbox.put(partial(handled.append, "first"), seconds=0.001)
    assert not inbox.put(partial(handled.append, "second"), seconds=0.001)
    inbox.handle(0)
    assert inbox.put(partial(handled.append, "third"), seconds=0.001)
    inbox.handle(0)
    assert handled == ["first", "third"]
