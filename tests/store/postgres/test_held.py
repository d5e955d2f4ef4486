"""A snapshot that is held open while events flow: looks for what is to be done begin behind what
was done since."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from store.postgres import PostgresStore, low_water_marks, reads
from store.postgres.claims import PostgresClaims, PostgresEventRows
from store.records import NewEvent, Result, SetAside, new_event_id
from tests.support.clock import Clock
from tests.support.makers import ME, decide, start
from tests.support.postgres_backend import PostgresBackend, migrated
from tools.servers.postgres import Postgres

NOW = 1_700_000_000_000
HOUR = 3600.0


@pytest.fixture
def backend(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresBackend]:
    monkeypatch.setattr(low_water_marks, "BUSY", 4)
    # However long a test takes, it says itself when everything is looked at.
    monkeypatch.setattr("store.postgres.claims.IN_FULL_EVERY", HOUR)
    monkeypatch.setattr("store.postgres.reads.IN_FULL_EVERY", HOUR)
    backend = PostgresBackend(postgres, migrated(postgres, "held"))
    yield backend
    backend.close()
    postgres.drop_database(backend.url)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(backend: PostgresBackend, clock: Clock) -> PostgresStore:
    store = backend.open()
    assert isinstance(store, PostgresStore)
    store.decisions._clock = clock
    assert store.leadership.elect(ME.holder, 600)
    return store


def time_passes(store: PostgresStore, clock: Clock) -> None:
    """Bounds follow what the scans have found until now, unless more is undecided."""
    for _ in range(2):
        clock.seconds += reads._VISIBLE_AFTER
        agenda(store)


@pytest.fixture
def held(backend: PostgresBackend) -> Iterator[psycopg.Connection[Any]]:
    """A session that holds a snapshot."""
    with psycopg.connect(backend.url) as session:
        session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        session.execute("SELECT count(*) FROM webhook_bridge.events")
        yield session


def append(store: PostgresStore, webhook: str, number: int = 1) -> list[str]:
    events = [NewEvent(new_event_id(), webhook, NOW, "{}", {}, {}, NOW) for _ in range(number)]
    return [done.event_id for done in store.deliveries.append(events)]


def agenda(store: PostgresStore, limit: int = 100) -> list[str]:
    return [event.id for event in store.decisions.agenda(limit).undecided]


def carry_out(store: PostgresStore) -> int:
    """Decides and calls for all that there is; how many events."""
    number = 0
    while undecided := agenda(store):
        for event_id in undecided:
            decide(store, event_id, start())
        claimed = store.claims.claim("w", NOW, NOW - 20_000, 100)
        assert len(claimed) == len(undecided)
        store.claims.record_results(
            "w", [Result(target, "done", workflow_id="f") for target in claimed], NOW
        )
        number += len(undecided)
    return number


def pages_read(backend: PostgresBackend, *parts: str) -> int:
    """The pages that the statement with these parts looks at."""
    [found] = [
        each
        for each in backend.statements.items()
        if all(part.encode() in each[0] for part in parts)
    ]
    with psycopg.connect(backend.url) as database:
        explained = database.execute(
            b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + found[0], found[1]
        ).fetchone()
    assert explained is not None
    plan = explained[0][0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def test_looks_read_no_more_for_what_was_done_while_a_snapshot_is_held(
    backend: PostgresBackend, store: PostgresStore, clock: Clock, held: psycopg.Connection[Any]
) -> None:
    looks = {
        "the agenda": ("AS busy", "AS before"),
        "what is due": ("due_at >= %s", "due_at <= %s"),
        "claims": ("claimed_at >= %s", "claimed_at < %s"),
        "the next one": ("(SELECT due_at", "due_at >= %(since)s"),
    }
    pages: list[dict[str, int]] = []
    for _ in range(2):
        for _ in range(10):
            append(store, "busy", 20)
            append(store, "other", 5)
            assert carry_out(store) == 25
        time_passes(store, clock)
        for number in range(3):
            assert not agenda(store)
            assert not store.claims.claim("w", NOW + number + 60_000, NOW + number + 40_000, 100)
        assert store.claims.next_due() is None
        pages.append({name: pages_read(backend, *parts) for name, parts in looks.items()})
    few, many = pages
    assert all(many[name] <= few[name] + 10 for name in looks), pages


def test_an_event_that_is_committed_late_comes_before_those_that_came_after_it(
    backend: PostgresBackend, store: PostgresStore, clock: Clock
) -> None:
    append(store, "busy", 10)
    carry_out(store)
    time_passes(store, clock)
    with psycopg.connect(backend.url) as late:
        late.execute(
            "INSERT INTO webhook_bridge.events (id, webhook, received_at, payload, headers, query, hold_until)"
            " VALUES ('late', 'busy', 1, '{}', '{}', '{}', 1)"
        )
        for _ in range(5):
            append(store, "busy", 2)
            carry_out(store)
        last = append(store, "busy")
    assert agenda(store) == ["late", *last]


def test_an_event_below_its_bound_is_on_the_agenda_after_ten_seconds_until_it_is_decided(
    store: PostgresStore, clock: Clock
) -> None:
    aside = append(store, "busy")
    store.quarantine.set_aside([SetAside("event", aside[0], "busy", "why", NOW, 1, NOW)])
    for _ in range(5):
        append(store, "busy", 5)
        carry_out(store)
    time_passes(store, clock)
    store.quarantine.take_back("event", aside)
    assert not agenda(store)
    clock.seconds += HOUR
    assert agenda(store) == aside
    time_passes(store, clock)
    assert agenda(store) == aside


def test_an_event_of_a_webhook_without_a_bound_comes_first_however_low_its_number(
    store: PostgresStore, clock: Clock
) -> None:
    """As after a pause: those that came after it must not overtake it."""
    paused = append(store, "c")
    for _ in range(4):
        for name in ("b", "d"):
            append(store, name, 4)
        while found := store.decisions.agenda(100, ["c"]).undecided:
            for event in found:
                decide(store, event.id, start())
    time_passes(store, clock)
    lows = store.decisions._lows
    assert set(lows.parameters["busy"]) == {"b", "d"}
    assert min(lows.parameters["lows"]) > 1
    last = append(store, "c")
    assert agenda(store) == [*paused, *last]


def test_a_webhook_without_a_bound_has_its_turn_however_long_its_target_has_been_due(
    backend: PostgresBackend, store: PostgresStore
) -> None:
    def claimed(later: int = 0) -> set[str]:
        targets = store.claims.claim("w", NOW + later, NOW - 600_000, 4)
        return {
            event.webhook
            for event in store.queries.events_of([target.event_id for target in targets]).values()
        }

    for name in ("b", "d"):
        for event_id in append(store, name, 20):
            decide(store, event_id, start())
    assert [claimed() for _ in range(3)] == [{"b", "d"}] * 3
    [event_id] = append(store, "c")
    decide(store, event_id, start())
    with psycopg.connect(backend.url) as database:
        database.execute(
            "UPDATE webhook_bridge.targets SET due_at = %s + CASE webhook WHEN 'c' THEN 0 ELSE 1 END",
            (NOW,),
        )
    assert "c" in claimed(later=10_000) | claimed(later=10_000)


def test_webhooks_take_the_same_turns_behind_bounds_and_without(
    backend: PostgresBackend, store: PostgresStore, clock: Clock
) -> None:
    for _ in range(4):
        for name in ("b", "d", "q"):
            append(store, name, 4)
        carry_out(store)
    for name in ("a", "b", "c", "d", "e", "o-1", "o1", "q", "z"):
        append(store, name, 2)
    plain = backend.open()
    assert isinstance(plain, PostgresStore)
    time_passes(store, clock)
    assert min(store.decisions._lows.parameters["lows"]) > 1
    store.decisions._undecided_after = plain.decisions._undecided_after = ""
    turns, as_before = [[agenda(each, 2) for _ in range(12)] for each in (store, plain)]
    assert turns == as_before


def test_what_becomes_due_before_its_bound_is_claimed_after_a_look_in_full(
    backend: PostgresBackend, store: PostgresStore
) -> None:
    clock = Clock()
    claims = PostgresClaims(store._connections, PostgresEventRows(), store.signals, clock)
    assert not claims.claim("w", NOW, NOW - 20_000, 10)
    [event_id] = append(store, "busy")
    decide(store, event_id, start())
    with psycopg.connect(backend.url) as database:
        database.execute("UPDATE webhook_bridge.targets SET due_at = %s", (NOW - 60_000,))
    assert not claims.claim("w", NOW, NOW - 20_000, 10)
    clock.seconds += HOUR
    [target] = claims.claim("w", NOW, NOW - 20_000, 10)
    assert target.event_id == event_id


def test_when_the_clock_was_set_back_what_is_due_is_claimed(store: PostgresStore) -> None:
    assert not store.claims.claim("w", NOW + 3_600_000, NOW, 10)
    [event_id] = append(store, "busy")
    decide(store, event_id, start())
    assert [target.event_id for target in store.claims.claim("w", NOW, NOW - 20_000, 10)] == [
        event_id
    ]


def test_no_more_webhooks_than_that_have_a_bound_and_those_with_most_work_have_one() -> None:
    """Each costs a look of every scan."""
    bounds = low_water_marks.LowWaterMarks()
    most, busy = low_water_marks._MOST, low_water_marks.BUSY
    for number in range(3 * most):
        bounds.found([f"w{number}"] * (busy + number))
    bounds.found(["seldom"] * (busy - 1))
    assert sorted(bounds.parameters["busy"]) == sorted(
        f"w{number}" for number in range(2 * most, 3 * most)
    )
    bounds.set_all(7)
    bounds.found(["w0"] * 1000)
    assert dict(zip(*bounds.parameters.values(), strict=True)).get("w0") == 0, (
        "nothing is known of it yet"
    )
    assert len(bounds.parameters["busy"]) == most
