"""Deliveries that come together share a commit, and none of them has to answer for another."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from store.errors import StoreUnavailable
from store.records import Committed, NewEvent, new_event_id
from store.sql.deliveries import GroupCommit, Take
from tools.servers import PATIENCE


def event() -> NewEvent:
    return NewEvent(new_event_id(), "w", 1, "{}", {}, {}, 1)


class Database:
    """Takes groups, one at a time; commits when it is let."""

    def __init__(self) -> None:
        self.groups: list[list[Sequence[NewEvent]]] = []
        self.waits: list[float] = []
        self.free = threading.Event()
        self.free.set()
        self.refused: set[str] = set()
        self.error: Exception | None = None

    def commit(self, take: Take, until: float) -> list[list[Committed]]:
        self.waits.append(until)
        assert self.free.wait(PATIENCE)
        if self.error is not None:
            raise self.error
        deliveries = list(take())
        self.groups.append(deliveries)
        if any(event.id in self.refused for events in deliveries for event in events):
            raise ValueError("no")
        return [[Committed(event.id, False) for event in events] for events in deliveries]


def appended_while_locked(
    database: Database, group_commit: GroupCommit, deliveries: list[list[NewEvent]]
) -> list[object]:
    """What each of them gets that comes while the database is not to be had."""
    database.free.clear()

    def append(events: list[NewEvent]) -> object:
        try:
            return group_commit.append(events)
        except StoreUnavailable as error:
            return error

    with ThreadPoolExecutor(len(deliveries)) as pool:
        futures = [pool.submit(append, events) for events in deliveries]
        while group_commit._open is None or len(group_commit._open.deliveries) < len(deliveries):
            time.sleep(0.001)
        database.free.set()
        return [future.result(PATIENCE) for future in futures]


def test_what_comes_before_the_database_is_to_be_had_shares_one_commit_and_gets_its_own_result() -> (
    None
):
    database = Database()
    group_commit = GroupCommit(database.commit)
    deliveries = [[event() for _ in range(number)] for number in (1, 3, 2)]
    results = appended_while_locked(database, group_commit, deliveries)
    assert results == [[Committed(each.id, False) for each in events] for events in deliveries]
    assert len(database.groups) == 1
    [later] = group_commit.append([event()])
    assert database.groups[1][0][0].id == later.event_id


def test_whoever_comes_first_lets_others_hand_in_theirs_and_says_how_long_all_wait() -> None:
    database = Database()
    joined = [event()]

    class Greenlets:
        def let_others_run(self) -> None:
            if joined:  # another one is ready, and has its turn
                thread = threading.Thread(target=group_commit.append, args=([joined.pop()], 5.0))
                thread.start()
                while len(group_commit._open.deliveries) < 2:  # type: ignore[union-attr]
                    time.sleep(0.001)

        def block(self, seconds: float) -> None:
            raise AssertionError("nothing to wait for")

    group_commit = GroupCommit(database.commit, Greenlets())
    group_commit.append([event()], 7.0)
    assert [len(group) for group in database.groups] == [2]
    assert database.waits == [7.0]


def test_a_group_that_cannot_be_stored_fails_whole_and_the_next_one_is_not_touched() -> None:
    database = Database()
    group_commit = GroupCommit(database.commit)
    database.error = StoreUnavailable("full")
    results = appended_while_locked(database, group_commit, [[event()], [event()]])
    assert [str(result) for result in results] == ["full", "full"]
    database.error = None
    assert len(group_commit.append([event()])) == 1


def test_one_that_is_stopped_in_the_middle_leaves_nobody_waiting() -> None:
    def stopped(take: Take, until: float) -> list[list[Committed]]:
        raise SystemExit

    group_commit = GroupCommit(stopped)
    with pytest.raises(SystemExit):
        group_commit.append([event()])
    with pytest.raises(SystemExit):  # of a new group
        group_commit.append([event()])
