"""Transactions of several processes that overlap: none waits for another for long, and nothing is
overtaken."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from unittest import mock

import psycopg
import pytest

from store.delivery_records import AnswerWanted, RawDelivery
from store.errors import StoreUnavailable
from store.postgres import PostgresStore, open_store
from store.postgres.connections import _SESSION
from store.postgres.deliveries import OVERTAKEN_FOR
from store.records import Hold, NewTarget, Result, Target
from store.sql.event_search import EventFilter
from store.sql.raw_deliveries import LISTENED
from store.story import Note
from tests.support.deciding import adopt
from tests.support.makers import (
    ME,
    NOW,
    arrive,
    completion,
    decide,
    end,
    message,
    new_event,
    start,
    task,
)
from tests.support.postgres_backend import Unhurried, time_for_locks
from tools.servers import PATIENCE, eventually

KEPT_BY_A_STOPPED_RELAY = """
INSERT INTO webhook_bridge.raw_deliveries
    (id, webhook, verdict, at, number, status, reason, name, method, path, url, query, headers, size, body)
VALUES (
    'stopped', 'w', 'accepted', %s, pg_current_xact_id()::text::bigint << 16, 0, '', '', 'POST', '', '', '', '{}', 0, ''
)
"""


@pytest.fixture(autouse=True)
def patient_locks() -> Iterator[None]:
    """Whoever waits for a lock of the test's has all the time that a busy machine may need."""
    with time_for_locks():
        yield


@pytest.fixture
def store(migrated_url: str, unhurried: None) -> Iterator[PostgresStore]:
    store = open_store(migrated_url)
    store._connections.wait_limits = Unhurried()
    yield store
    store.close()


def keep(store: PostgresStore, id_: str, ago: int = 0) -> None:
    at = store.now() - ago
    store.deliveries.append(
        [new_event(id_, received_at=at, raw=RawDelivery("", "w", "accepted", at))]
    )


def listed(store: PostgresStore) -> list[str]:
    return [one.id for one in store.raw_deliveries.listed("w")]


def test_a_relay_that_is_stopped_as_it_commits_holds_up_no_other_and_is_not_overtaken(
    store: PostgresStore, migrated_url: str
) -> None:
    with psycopg.connect(migrated_url) as stopped:
        stopped.execute(KEPT_BY_A_STOPPED_RELAY, (store.now(),))
        keep(store, "later")
        assert listed(store) == [], "or the first would be missed by who asks for what came after"
        stopped.commit()
    eventually(lambda: listed(store) == ["stopped", "later"])


def test_a_relay_that_is_stopped_for_longer_than_a_commit_can_take_is_not_waited_for(
    store: PostgresStore, migrated_url: str
) -> None:
    with psycopg.connect(migrated_url) as stopped:
        stopped.execute(KEPT_BY_A_STOPPED_RELAY, (store.now() - OVERTAKEN_FOR,))
        keep(store, "old", OVERTAKEN_FOR + 1000)
        keep(store, "new")
        assert listed(store) == ["old"]
        stopped.rollback()
    eventually(lambda: listed(store) == ["old", "new"])


def test_deliveries_that_another_server_numbered_do_not_stay_above_new_ones(
    store: PostgresStore, migrated_url: str
) -> None:
    with psycopg.connect(migrated_url) as other:
        other.execute(
            KEPT_BY_A_STOPPED_RELAY.replace("pg_current_xact_id()", "'900000000'"), (store.now(),)
        )
    assert store.raw_deliveries.greatest_number("w") == 0
    keep(store, "new")
    store.raw_deliveries.prune("w", {"accepted": LISTENED})
    eventually(lambda: listed(store) == ["new"])


def test_acknowledging_many_waits_for_no_event_while_it_has_locked_another(
    store: PostgresStore, migrated_url: str
) -> None:
    """A worker has locked the second when it needs the first, which somebody acknowledges with it."""
    ids = ["e1", "e2"]
    assert store.leadership.elect("me", 10**6)
    for id_ in ids:
        decide(store, arrive(store, id_), start())
        end(store, id_, "failed")
    changed: set[str] = set()
    note = Note(NOW, "ada", "acknowledged", "known")
    somebody = threading.Thread(
        target=lambda: changed.update(store.acknowledgements.record(ids, note))
    )
    with ExitStack() as stack:
        worker = stack.enter_context(psycopg.connect(migrated_url))
        stack.callback(somebody.join)
        worker.execute("SELECT 1 FROM webhook_bridge.events WHERE id = 'e2' FOR UPDATE")
        somebody.start()
        unresolved = EventFilter(unresolved=True)
        eventually(lambda: [event.id for event in store.queries.events(unresolved)] == ["e2"])
        worker.execute("UPDATE webhook_bridge.events SET resolved_by = 'e9' WHERE id = 'e1'")
        worker.commit()
        somebody.join()
    assert changed == {"e1", "e2"}, "the one that was locked is acknowledged once it is free"


def test_somebody_who_comes_back_for_an_event_that_is_being_pruned_leaves_no_answer_behind(
    store: PostgresStore, migrated_url: str
) -> None:
    arrive(store)
    wanted = {"e1": AnswerWanted("$.reply", NOW)}
    somebody = threading.Thread(target=lambda: store.answers.want(wanted))
    with ExitStack() as stack:
        pruning = stack.enter_context(psycopg.connect(migrated_url))
        stack.callback(somebody.join)
        pruning.execute("SELECT 1 FROM webhook_bridge.events WHERE id = 'e1' FOR UPDATE")
        pruning.execute("DELETE FROM webhook_bridge.answers WHERE event_id = 'e1'")
        pruning.execute("DELETE FROM webhook_bridge.events WHERE id = 'e1'")
        somebody.start()
        eventually(lambda: not somebody.is_alive() or waits_for_a_lock(pruning))
        pruning.commit()
        somebody.join()
        assert pruning.execute("SELECT event_id FROM webhook_bridge.answers").fetchall() == []


def test_those_who_come_back_lock_events_in_the_same_order_as_all_others(
    store: PostgresStore, migrated_url: str
) -> None:
    arrive(store, "e2")
    arrive(store, "e1")
    wanted = dict.fromkeys(("e1", "e2"), AnswerWanted("$.reply", NOW))
    somebody = threading.Thread(target=lambda: store.answers.want(wanted))
    with ExitStack() as stack:
        deciding = stack.enter_context(psycopg.connect(migrated_url))
        stack.callback(somebody.join)
        deciding.execute("SELECT 1 FROM webhook_bridge.events WHERE id = 'e2' FOR UPDATE")
        somebody.start()
        eventually(lambda: waits_for_a_lock(deciding))
        deciding.execute("SELECT 1 FROM webhook_bridge.events WHERE id = 'e1' FOR UPDATE NOWAIT")
        deciding.commit()
    assert {one.event_id for one in store.answers.open(0)} == {"e1", "e2"}


def test_an_event_that_somebody_comes_back_for_is_pruned_with_its_answer_later(
    store: PostgresStore, migrated_url: str
) -> None:
    assert store.leadership.elect("me", 10**6)
    decide(store, arrive(store), start())
    end(store, "e1", "done")
    with psycopg.connect(migrated_url) as coming_back:
        coming_back.execute("SELECT 1 FROM webhook_bridge.events WHERE id = 'e1' FOR KEY SHARE")
        store.maintenance.prune(NOW + 10**6, 9)
        assert [event.id for event in store.queries.events(EventFilter())] == ["e1"]
    store.answers.want({"e1": AnswerWanted("$.reply", NOW)})
    store.maintenance.prune(NOW + 10**6, 9)
    assert store.answers.waited("e1") is None


def test_a_decision_and_a_result_do_not_wait_for_somebody_who_comes_back_for_the_event(
    store: PostgresStore, migrated_url: str
) -> None:
    assert store.leadership.elect("me", 10**6)
    arrive(store)
    with psycopg.connect(migrated_url) as coming_back:
        coming_back.execute("SELECT 1 FROM webhook_bridge.events WHERE id = 'e1' FOR KEY SHARE")
        decide(store, "e1", start())
        end(store, "e1", "done")
    assert store.queries.event_counts() == {"delivered": 1}


@pytest.mark.parametrize(("targets", "hold"), [((start(1), start(2)), "no"), ((start(1),), "held")])
def test_a_result_waits_for_whoever_else_changes_its_event(
    store: PostgresStore, migrated_url: str, targets: tuple[NewTarget, ...], hold: Hold
) -> None:
    assert store.leadership.elect("me", 10**6)
    decide(store, arrive(store), *targets, hold=hold)
    claimed = store.claims.claim("me", NOW, 0, 9)
    last = [Result(claimed[-1], "done")]
    recording = threading.Thread(target=lambda: store.claims.record_results("me", last, NOW))
    with ExitStack() as stack:
        other = stack.enter_context(psycopg.connect(migrated_url))
        stack.callback(recording.join)
        other.execute("SELECT 1 FROM webhook_bridge.events FOR UPDATE")
        recording.start()
        eventually(lambda: waits_for_a_lock(other))
        other.execute(
            "UPDATE webhook_bridge.targets SET state = 'done' WHERE id < %s", (claimed[-1].id,)
        )
        other.execute("UPDATE webhook_bridge.events SET held = 0")
        other.commit()
    assert store.queries.event_counts() == {"delivered": 1}


def test_a_decision_about_a_held_event_whose_result_is_just_being_recorded_counts_it_once(
    store: PostgresStore, migrated_url: str
) -> None:
    assert store.leadership.elect("me", 10**6)
    decide(store, arrive(store), start(), hold="held")
    leader = threading.Thread(target=lambda: decide(store, "e1", start()))
    with ExitStack() as stack:
        recording = stack.enter_context(psycopg.connect(migrated_url))
        stack.callback(leader.join)
        recording.execute("UPDATE webhook_bridge.events SET status = 'failed' WHERE id = 'e1'")
        recording.execute("INSERT INTO webhook_bridge.finished_events VALUES ('failed', 1)")
        leader.start()
        eventually(lambda: waits_for_a_lock(recording))
        recording.commit()
    assert store.queries.event_counts() == {"pending": 1}


WAITING = "FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"


def waits_for_a_lock(connection: psycopg.Connection) -> bool:
    """Whether another session waits for a lock of this one's: others of the server are of other
    tests."""
    return bool(connection.execute(f"SELECT 1 {WAITING}").fetchall())


def test_a_session_that_the_server_ends_during_a_decision_is_no_refusal(
    store: PostgresStore, migrated_url: str
) -> None:
    assert store.leadership.elect("me", 10**6)
    adopt(store, ME, [task()], NOW)
    arrive(store)
    with psycopg.connect(migrated_url) as other, ThreadPoolExecutor(1) as pool:
        other.execute("SELECT 1 FROM webhook_bridge.tasks FOR UPDATE")
        deciding = pool.submit(decide, store, "e1", completion())
        eventually(lambda: waits_for_a_lock(other))
        other.execute(f"SELECT pg_terminate_backend(pid) {WAITING}")
        with pytest.raises(StoreUnavailable):
            deciding.result(PATIENCE)
    assert [one.id for one in store.decisions.agenda(9).undecided] == ["e1"]
    assert decide(store, "e1", completion(), claim=1)


def due(store: PostgresStore, webhook: str, *numbers: int) -> None:
    assert store.leadership.elect("me", 10**6)
    arrive(store, f"of-{webhook}", webhook=webhook)
    decide(
        store,
        f"of-{webhook}",
        *(replace(start(), correlation_id=f"{webhook}{number}") for number in numbers),
    )


def called(targets: Sequence[Target]) -> list[str]:
    return sorted(str(target.correlation_id) for target in targets)


def test_a_claim_goes_on_to_other_webhooks_if_others_are_claiming_all_of_those_it_asked_first(
    store: PostgresStore, migrated_url: str
) -> None:
    for webhook in "abcd":
        due(store, webhook, 0, 1, 2)
    with psycopg.connect(migrated_url) as other:
        other.execute(
            "SELECT id FROM webhook_bridge.targets WHERE webhook IN ('a', 'b', 'c') FOR UPDATE"
        )
        assert called(store.claims.claim("me", NOW, 0, 2)) == ["d0", "d1"]
        assert called(store.claims.claim("me", NOW, 0, 2)) == ["d2"]
        assert store.claims.claim("me", NOW, 0, 2) == []
    assert len(store.claims.claim("me", NOW, 0, 20)) == 9


def test_what_is_due_is_claimed_in_place_of_old_claims_that_another_worker_takes_over(
    store: PostgresStore, migrated_url: str
) -> None:
    due(store, "a", *range(4))
    due(store, "b", *range(4))
    old = store.claims.claim("one", NOW, 0, 4)
    with psycopg.connect(migrated_url) as other:
        other.execute("SELECT id FROM webhook_bridge.targets WHERE state = 'claimed' FOR UPDATE")
        due_ones = store.claims.claim("two", NOW + 10, NOW + 1, 3)
        assert len(due_ones) == 3
        assert not set(called(old)) & set(called(due_ones))


def test_a_decision_does_not_wait_for_a_worker_that_is_claiming_a_held_message_before_its_own(
    store: PostgresStore, migrated_url: str
) -> None:
    """Nor can it deadlock with one: it locks the messages of several lanes, as a worker does."""
    assert store.leadership.elect("me", 10**6)
    for key in "ab":
        decide(store, arrive(store, f"held-{key}"), message(key, "hold"))
    held = store.claims.claim("me", NOW, 0, 9)
    later = [
        Result(target, "pending", "none runs", due_at=NOW + 500, not_sent=True) for target in held
    ]
    store.claims.record_results("me", later, NOW)
    with psycopg.connect(migrated_url) as claiming:
        claiming.execute(
            "SELECT id FROM webhook_bridge.targets WHERE correlation_id = 'a' FOR UPDATE"
        )
        decide(store, arrive(store, "e1"), message("a"), message("b"))
        assert [target.event_id for target in store.claims.claim("me", NOW, 0, 9)] == ["held-b"]


def test_a_paced_webhook_for_which_another_worker_is_claiming_leaves_its_share_to_the_others(
    store: PostgresStore, migrated_url: str
) -> None:
    for webhook in "ab":
        due(store, webhook, *range(9))
    paces = {"a": 1000.0}
    assert called(store.claims.claim("me", NOW, 0, 2, paces)) == ["a0", "b0"]
    with psycopg.connect(migrated_url) as other:
        other.execute("SELECT * FROM webhook_bridge.paces FOR UPDATE")
        assert called(store.claims.claim("me", NOW + 50, 0, 5, paces)) == [
            "b1",
            "b2",
            "b3",
            "b4",
            "b5",
        ]


BY_NO_INDEX = {
    f"enable_{plan}": "off" for plan in ("nestloop", "mergejoin", "indexscan", "bitmapscan")
}


@pytest.fixture
def by_no_index() -> Iterator[None]:
    """Of each session that begins meanwhile."""
    with mock.patch.dict(_SESSION, BY_NO_INDEX):
        yield


@pytest.mark.parametrize("table", ["targets", "tasks"])
def test_results_lock_rows_in_the_same_order_as_all_others_whatever_the_plan(
    migrated_url: str, unhurried: None, by_no_index: None, table: str
) -> None:
    store = open_store(migrated_url)
    assert store.leadership.elect("me", 10**6)
    adopt(store, ME, [task(1), task(2)], NOW)
    decide(store, arrive(store), completion(1), completion(2))
    targets = store.claims.claim("me", NOW, 0, 2)
    results = [Result(target, "done") for target in targets]
    recording = threading.Thread(target=lambda: store.claims.record_results("me", results, NOW))
    ids = f"SELECT id FROM webhook_bridge.{table} ORDER BY id"
    change = f"UPDATE webhook_bridge.{table} SET settled_at = settled_at WHERE id = %s"
    with ExitStack() as stack:
        stack.callback(store.close)
        other = stack.enter_context(psycopg.connect(migrated_url))
        stack.callback(recording.join)
        (first,), (last,) = other.execute(ids).fetchall()
        other.execute(change, (first,))  # on disk, it now comes after the other
        other.commit()
        other.execute(change, (first,))
        recording.start()
        eventually(lambda: waits_for_a_lock(other))
        other.execute(
            f"SELECT 1 FROM webhook_bridge.{table} WHERE id = %s FOR UPDATE NOWAIT", (last,)
        )
        other.commit()
        recording.join(PATIENCE)
        assert store.queries.event_counts() == {"delivered": 1}


def test_claims_results_and_returns_of_many_workers_at_once_never_wait_for_each_other(
    store: PostgresStore, migrated_url: str
) -> None:
    """Rows locked in different orders would deadlock: PostgreSQL counts that."""
    for webhook in "dbca":
        due(store, webhook, *range(60))
    paces = dict.fromkeys("ab", 1e6)
    together = threading.Barrier(4)

    def work(name: str) -> None:
        own = open_store(migrated_url)
        own._connections.wait_limits = Unhurried()
        together.wait(PATIENCE)
        try:
            while targets := own.claims.claim(name, now := own.now(), now - 3, 7, paces):
                backwards = targets[::-1]
                own.claims.give_back(name, backwards[5:], now)
                own.claims.record_results(
                    name, [Result(target, "done") for target in backwards[:5]], now
                )
        finally:
            own.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, "1234"))
    with psycopg.connect(migrated_url) as other:
        found = other.execute(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
    assert found == (0,)
