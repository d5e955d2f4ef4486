"""A decision with very many targets is written in parts: whoever goes on with it writes what was decided, once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from store.errors import LeadershipLost, PartRefused, Unstorable
from store.records import Decision, NewTarget, Result, Term
from store.sql import rows
from store.sql.store import Store
from tests.store.contract.backends import Backend
from tests.store.contract.makers import ME, NOW, arrive, completion, decide, event, start, states, task


@pytest.fixture
def large(store: Store, monkeypatch: pytest.MonkeyPatch) -> Decision:
    """Of seven targets, of which two are written at once."""
    monkeypatch.setattr(rows, "PART", 2)
    store.tasks.adopt(ME, [task(number) for number in range(6)], NOW)
    arrive(store)
    return Decision("e1", "pending", "no", (*map(completion, range(6)), start()))


def taken(store: Store) -> list[str]:
    """Of the tasks of targets, those that the event has."""
    found = [target.task_id for target in store.queries.targets_of(["e1"]) if target.task_id is not None]
    assert [store.queries.task(task_id).state for task_id in found] == ["taken"] * len(found)  # type: ignore[union-attr]
    return found


def write(store: Store, term: Term = ME) -> int:
    parts = 0
    while store.large_decisions.write_next(term, NOW + 7):
        parts += 1
    return parts


def test_a_large_decision_is_written_in_parts(store: Store, large: Decision) -> None:
    store.large_decisions.record(ME, large, NOW)
    assert states(store, "e1") == [], "none of its targets is there yet"
    assert store.decisions.agenda(9).undecided == [], "but the event is decided"
    assert write(store) == 5, "four parts, and what becomes of the event"
    assert taken(store) == [f"t{number}" for number in range(6)]
    found = event(store, "e1")
    assert (found.status, found.hold, found.decided_at, found.settled_at) == ("pending", "no", NOW, None)
    assert states(store, "e1") == ["pending"] * 7
    assert store.decisions.agenda(9).undecided == []
    assert not store.large_decisions.write_next(ME, NOW)


@pytest.mark.parametrize("written", range(6))
def test_the_next_leader_goes_on_with_it(backend: Backend, store: Store, large: Decision, written: int) -> None:
    """As after kill -9 between two parts."""
    store.large_decisions.record(ME, large, NOW)
    for _ in range(written):
        store.large_decisions.write_next(ME, NOW)
    store.leadership.resign(ME)
    other = backend.open()
    term = other.leadership.elect("next", 10**6)
    assert term is not None
    with pytest.raises(LeadershipLost):
        store.large_decisions.write_next(ME, NOW)
        raise LeadershipLost  # there was nothing left to write
    write(other, term)
    assert taken(other) == [f"t{number}" for number in range(6)]
    assert len(states(other, "e1")) == 7
    assert event(other, "e1").decided_at is not None


def test_a_decision_that_was_not_recorded_whole_leaves_its_event_undecided(
    store: Store, large: Decision, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "RECORDED", 1)
    parts = list(rows.large_parts(large))

    def killed(_: object) -> object:
        yield from parts[:3]
        raise KeyboardInterrupt

    monkeypatch.setattr(rows, "large_parts", killed)
    with pytest.raises(KeyboardInterrupt):
        store.large_decisions.record(ME, large, NOW)
    write(store)
    assert states(store, "e1") == []
    assert event(store, "e1").decided_at is None
    assert len(store.queries.waiting_tasks()) == 6
    monkeypatch.undo()
    decide(store, "e1", completion(1))
    assert taken(store) == ["t1"]


def test_results_that_come_between_two_parts_settle_nothing(store: Store, large: Decision) -> None:
    store.large_decisions.record(ME, large, NOW)
    store.large_decisions.write_next(ME, NOW)
    claimed = store.claims.claim("me", NOW + 1, 0, 99)
    assert len(claimed) == 2, "any worker may call for what is written"
    store.claims.record_results("me", [Result(target, "done") for target in claimed], NOW)
    assert (event(store, "e1").status, event(store, "e1").settled_at) == ("pending", None)
    write(store)
    assert event(store, "e1").status == "pending"
    rest = store.claims.claim("me", NOW + 9, 0, 99)
    store.claims.record_results("me", [Result(target, "done") for target in rest], NOW + 9)
    assert (event(store, "e1").status, event(store, "e1").settled_at) == ("delivered", NOW + 9)


@pytest.mark.parametrize(
    ("state", "status", "hold"), [("done", "delivered", "no"), ("cancelled", "pending", "recheck")]
)
def test_what_ended_before_the_last_part_counts_with_it(
    store: Store, large: Decision, state: str, status: str, hold: str
) -> None:
    takers = tuple(new for new in large.targets if new.kind == "complete")
    store.large_decisions.record(ME, Decision("e1", "pending", "no", takers), NOW)
    for _ in range(3):
        store.large_decisions.write_next(ME, NOW)
    claimed = store.claims.claim("me", NOW + 1, 0, 99)
    store.claims.record_results("me", [Result(target, state) for target in claimed], NOW)  # type: ignore[arg-type]
    write(store)
    assert (event(store, "e1").status, event(store, "e1").hold) == (status, hold)


def test_a_task_that_another_event_has_is_left_to_it(store: Store, large: Decision) -> None:
    """One such task doesn't stop the others, for ever."""
    store.large_decisions.record(ME, large, NOW)
    decide(store, arrive(store, "e2"), completion(3))
    write(store)
    assert taken(store) == ["t0", "t1", "t2", "t4", "t5"]


def test_what_a_target_is_comes_back_from_its_part() -> None:
    targets = [
        NewTarget("complete", "é\ud800", "w", "t", "ref", only_versions=(1, 2)),
        NewTarget("start", "flow", version=3, correlation_id="e#2", once_key="k", once_while="kept", input='{"a":1}'),
    ]
    [[(event_id, _, part)]] = rows.large_parts(Decision("e1", "pending", "no", tuple(targets)))
    assert (event_id, rows.targets_in(part)) == ("e1", targets)


def test_a_part_that_cannot_be_written_keeps_no_other_decision_from_being_written(
    store: Store, large: Decision, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets_in = rows.targets_in

    def garbled(part: str) -> list[NewTarget]:
        found = targets_in(part)
        if found[0].task_id == "t2":
            raise ValueError("garbled")
        return found

    arrive(store, "e2")
    store.large_decisions.record(ME, replace(large, targets=large.targets[:4]), NOW)
    store.large_decisions.record(ME, Decision("e2", "pending", "no", tuple(map(completion, (4, 5)))), NOW)
    with monkeypatch.context() as patch:
        patch.setattr(rows, "targets_in", garbled)
        store.large_decisions.write_next(ME, NOW)
        with pytest.raises(PartRefused, match="garbled") as refused:
            store.large_decisions.write_next(ME, NOW)
        assert refused.value.event_id == "e1"
        while store.large_decisions.write_next(ME, NOW, ["e1"]):
            pass
    assert (states(store, "e1"), states(store, "e2")) == (["pending"] * 2, ["pending"] * 2)
    assert (event(store, "e1").hold, event(store, "e2").hold) == ("writing", "no")
    write(store)
    assert taken(store) == ["t0", "t1", "t2", "t3"]
    assert event(store, "e1").hold == "no"


def test_parts_of_an_earlier_try_are_not_written_with_a_later_ones(
    store: Store, large: Decision, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store refused the event's decision after some parts; when it is tried again fewer tasks wait."""
    monkeypatch.setattr(rows, "RECORDED", 1)
    parts = list(rows.large_parts(large))

    def refused(_: object) -> Iterator[object]:
        yield from parts[:3]
        raise Unstorable

    with monkeypatch.context() as patch, pytest.raises(Unstorable):
        patch.setattr(rows, "large_parts", refused)
        store.large_decisions.record(ME, large, NOW)
    store.large_decisions.record(ME, replace(large, targets=large.targets[:3]), NOW)
    write(store)
    assert taken(store) == ["t0", "t1", "t2"]


def test_the_tasks_of_parts_that_are_not_written_yet_are_told(
    store: Store, large: Decision, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "RECORDED", 1)
    monkeypatch.setattr(rows, "PARTS_READ", 1)
    arrive(store, "e2")
    parts = list(rows.large_parts(Decision("e2", "pending", "no", (completion(7), completion(8), completion(9)))))
    assert list(store.large_decisions.promised_tasks()) == []
    store.large_decisions.record(ME, large, NOW)
    with monkeypatch.context() as patch, pytest.raises(Unstorable):
        patch.setattr(rows, "large_parts", lambda _: _cut(parts))
        store.large_decisions.record(ME, Decision("e2", "pending", "no"), NOW)
    assert list(store.large_decisions.promised_tasks()) == [f"t{number}" for number in range(6)], (
        "none of e2, which doesn't stand"
    )
    store.large_decisions.write_next(ME, NOW)
    assert list(store.large_decisions.promised_tasks()) == ["t2", "t3", "t4", "t5"]
    write(store)
    assert list(store.large_decisions.promised_tasks()) == []


def _cut(parts: list[list[tuple[str, int, str]]]) -> Iterator[object]:
    yield from parts[:1]
    raise Unstorable


@pytest.mark.parametrize("garbled", ["{", "[7]", '[{"kind": "complete"}]', "[null]", "{}"])
def test_the_tasks_of_a_part_that_cannot_be_read_are_not_known(garbled: str) -> None:
    assert rows.tasks_in("e1", garbled) == []
