"""What an agenda and a claim cost doesn't grow with what there is: counted in the steps of SQLite's
machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from store.records import Decision, NewEvent, NewTarget
from store.sqlite import SqliteStore, open_store
from tests.support import deciding
from tests.support.makers import ME, NOW

_EVERY = 10


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    store = open_store(f"sqlite:///{tmp_path}/bridge.db")
    store.leadership.elect("me", 10**6)
    return store


def steps(store: SqliteStore, action: Callable[[], object]) -> int:
    """Steps of the machine that the action's reading takes."""
    counted = 0

    def count() -> int:
        nonlocal counted
        counted += _EVERY
        return 0

    connection = store._connections.reader.conn
    connection.set_progress_handler(count, _EVERY)
    action()
    connection.set_progress_handler(None, _EVERY)
    return counted


def fill(store: SqliteStore, webhooks: int, each: int, run: str = "e") -> None:
    names = [f"w{number:03}" for number in range(webhooks) for _ in range(each)]
    store.deliveries.append(
        [NewEvent(f"{run}{n}", name, NOW, "{}", {}, {}, NOW) for n, name in enumerate(names)]
    )


def give_targets(store: SqliteStore, webhooks: int, each: int) -> None:
    """The first event of each of the webhooks has so many."""
    targets = tuple(NewTarget("start", "flow", correlation_id=str(one)) for one in range(each))
    decisions = [
        Decision(f"e{number}", "pending", "no", targets, True) for number in range(webhooks)
    ]
    deciding.decide(store, ME, decisions, NOW, 0)


@pytest.mark.parametrize(("webhooks", "each"), [(1, 5000), (500, 5)])
def test_an_agenda_costs_no_more_with_very_many_undecided_events(
    store: SqliteStore, webhooks: int, each: int
) -> None:
    fill(store, 32, 20)
    few = steps(store, lambda: store.decisions.agenda(500))
    fill(store, webhooks, each, "more")
    assert steps(store, lambda: store.decisions.agenda(500)) < 3 * few


@pytest.mark.parametrize(
    "paces", [{}, dict.fromkeys([f"w{number:03}" for number in range(600)], 1000.0)]
)
@pytest.mark.parametrize(("webhooks", "each"), [(1, 5000), (500, 5)])
def test_a_claim_costs_no_more_with_very_many_due_targets(
    store: SqliteStore, webhooks: int, each: int, paces: dict[str, float]
) -> None:
    fill(store, 600, 1)
    give_targets(store, 40, 2)
    few = steps(store, lambda: store.claims.claim("me", NOW, 0, 32, paces))
    give_targets(store, webhooks, each)
    assert steps(store, lambda: store.claims.claim("me", NOW, 0, 32, paces)) < 2 * few
