"""However much there is, what is read at once is bounded, and no webhook waits for all that another
has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from store.records import Decision, NewTarget, Result, Target
from store.rules import fairness
from store.sql import claims
from store.sql.store import Store
from tests.support import deciding
from tests.support.backends import Backend
from tests.support.deciding import adopt
from tests.support.makers import ME, NOW, arrive, completion, decide, end, ids, return_tasks, task

LARGE = f'{{"text": "{"x" * 1000}"}}'


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three large payloads are read at once, and three webhooks have their turn."""
    monkeypatch.setattr(fairness, "BYTES", 3000)
    monkeypatch.setattr(fairness, "WEBHOOKS", 3)


def test_undecided_events_are_read_by_their_payloads_size_too(store: Store, small: None) -> None:
    for number in range(5):
        arrive(store, f"e{number}", payload=LARGE)
    agenda = store.decisions.agenda(100)
    assert ids(agenda.undecided) == ["e0", "e1", "e2"]
    assert agenda.more
    for id_ in ids(agenda.undecided):
        decide(store, id_)
    agenda = store.decisions.agenda(100)
    assert ids(agenda.undecided) == ["e3", "e4"]
    assert not agenda.more


def test_an_event_larger_than_what_is_read_at_once_is_read_alone(store: Store, small: None) -> None:
    arrive(store, "e1", payload=f'{{"text": "{"x" * 9000}"}}')
    arrive(store, "e2")
    assert ids(store.decisions.agenda(100).undecided) == ["e1"]


def test_held_and_freed_events_are_read_by_their_payloads_size_too(
    store: Store, small: None
) -> None:
    for number in range(5):
        decide(store, arrive(store, f"e{number}", payload=LARGE), hold="held")
    first = store.decisions.held(0, 100)
    assert ids(first) == ["e0", "e1", "e2"]
    assert ids(store.decisions.held(first[-1].seq, 100)) == ["e3", "e4"]
    for number in range(5):
        adopt(store, ME, [task(number)], NOW)
        decide(store, arrive(store, f"f{number}", payload=LARGE), completion(number))
        end(store, f"f{number}", "cancelled")
    agenda = store.decisions.agenda(100)
    assert ids(agenda.freed) == ["f0", "f1", "f2"]
    assert agenda.more


def test_held_events_of_one_webhook_are_read_without_the_others(store: Store) -> None:
    for number in range(6):
        decide(store, arrive(store, f"e{number}", webhook="vw"[number % 2]), hold="held")
    first = store.decisions.held(0, 2, "w")
    assert ids(first) == ["e1", "e3"]
    assert ids(store.decisions.held(first[-1].seq, 2, "w")) == ["e5"]
    assert store.decisions.held(0, 9, "unknown") == []


def test_a_webhook_with_very_many_undecided_events_delays_no_others_by_more_than_one_round(
    store: Store, small: None
) -> None:
    for number in range(20):
        arrive(store, f"many{number}", webhook="many")
    arrive(store, "one", webhook="one")
    arrive(store, "two", webhook="two")
    agenda = store.decisions.agenda(6)
    assert ids(agenda.undecided) == ["many0", "many1", "one", "two"], (
        "of each its first, in the order of arrival"
    )
    assert agenda.more
    for id_ in ids(agenda.undecided):
        decide(store, id_)
    assert ids(store.decisions.agenda(6).undecided) == [f"many{number}" for number in range(2, 8)]


def test_the_next_round_begins_after_the_webhook_that_was_served_last(
    store: Store, small: None
) -> None:
    for number in range(2):
        for webhook in "abcdefg":
            arrive(store, f"{webhook}{number}", webhook=webhook)
    rounds = [ids(store.decisions.agenda(3).undecided) for _ in range(3)]
    assert rounds == [["a0", "b0", "c0"], ["d0", "e0", "f0"], ["a0", "b0", "g0"]]
    assert store.decisions.agenda(3).more


def test_large_events_of_one_webhook_leave_the_others_their_turn(store: Store, small: None) -> None:
    for number in range(5):
        arrive(store, f"large{number}", webhook="large", payload=LARGE)
    arrive(store, "small", webhook="small")
    assert ids(store.decisions.agenda(100).undecided) == ["large0", "large1", "large2", "small"]


def test_a_round_passes_over_webhooks_that_are_left_out(store: Store, small: None) -> None:
    for webhook in "abcdefg":
        arrive(store, f"{webhook}0", webhook=webhook)
    store.pauses.pause("a", NOW)
    assert ids(store.decisions.agenda(9, ["b", "c"]).undecided) == ["d0", "e0", "f0"]
    assert ids(store.decisions.agenda(9, ["b", "c"]).undecided) == ["d0", "e0", "g0"]


def test_returned_tasks_that_stay_so_take_turns_and_are_not_asked_for_for_ever(
    store: Store,
) -> None:
    """Whoever reads them may be refused each one's return."""
    return_tasks(store, *(task(number) for number in range(5)))
    rounds = [store.decisions.agenda(2) for _ in range(4)]
    assert [ids(list(agenda.returned)) for agenda in rounds] == [
        ["t0", "t1"],
        ["t2", "t3"],
        ["t4"],
        ["t0", "t1"],
    ]
    assert [agenda.more for agenda in rounds] == [True, True, False, True]


# --- claims ---


def many(store: Store, webhook: str, number: int, *, paced: bool = False, at: int = NOW) -> None:
    """One event of the webhook, with so many starts that are due."""
    id_ = arrive(store, f"of-{webhook}", webhook=webhook)
    targets = tuple(
        NewTarget("start", webhook, correlation_id=f"{webhook}{one}") for one in range(number)
    )
    deciding.decide(store, ME, [Decision(id_, "pending", "no", targets, paced)], at, 0)


def called(targets: Sequence[Target]) -> list[str]:
    return sorted(str(target.correlation_id) for target in targets)


def test_a_webhook_with_very_many_due_targets_delays_no_others_by_more_than_one_round(
    store: Store,
) -> None:
    many(store, "many", 200)
    many(store, "one", 1, at=NOW + 1)
    many(store, "two", 2, at=NOW + 2)
    assert called(store.claims.claim("me", NOW + 9, 0, 4)) == ["many0", "many1", "one0", "two0"]
    assert called(store.claims.claim("me", NOW + 9, 0, 4)) == ["many2", "many3", "many4", "two1"]
    assert called(store.claims.claim("me", NOW + 9, 0, 2)) == ["many5", "many6"], (
        "the longest due first"
    )


def test_of_more_webhooks_than_have_their_turn_each_has_it_in_the_next_rounds(
    store: Store, small: None
) -> None:
    for webhook in "abcdefg":
        many(store, webhook, 50)
    rounds = [called(store.claims.claim("me", NOW, 0, 3)) for _ in range(4)]
    assert rounds == [
        ["a0", "b0", "c0"],
        ["d0", "e0", "f0"],
        ["a1", "b1", "g0"],
        ["c1", "d1", "e1"],
    ]


def test_what_a_webhook_leaves_of_its_share_goes_to_those_that_got_none(
    store: Store, small: None
) -> None:
    paces = {"a": 0.001}
    many(store, "a", 9, paced=True)
    many(store, "b", 1)
    many(store, "c", 9)
    assert called(store.claims.claim("me", NOW, 0, 8, paces)) == [
        "a0",
        "b0",
        *(f"c{number}" for number in range(6)),
    ]
    assert called(store.claims.claim("me", NOW, 0, 2, paces)) == ["c6", "c7"]


def test_webhooks_that_wait_for_their_pace_or_their_time_take_no_turn(
    store: Store, small: None
) -> None:
    for webhook in "abcde":
        many(store, webhook, 50, paced=True)
    paces = dict.fromkeys("abcde", 0.001)
    assert called(store.claims.claim("me", NOW, 0, 9, paces)) == ["a0", "b0", "c0"]
    assert called(store.claims.claim("me", NOW, 0, 9, paces)) == ["d0", "e0"]
    for webhook in "fgh":
        many(store, webhook, 50, at=NOW + 5000)
    many(store, "z", 50)
    assert called(store.claims.claim("me", NOW, 0, 2, paces)) == ["z0", "z1"]


def test_a_turn_in_its_pace_is_spent_only_by_what_is_claimed(store: Store) -> None:
    many(store, "fast", 50, paced=True)
    many(store, "many", 50)
    paces = {"fast": 1000.0}
    assert called(store.claims.claim("me", NOW, 0, 2, paces)) == ["fast0", "many0"]
    assert (
        len(
            [
                one
                for one in called(store.claims.claim("me", NOW, 0, 200, paces))
                if one.startswith("fast")
            ]
        )
        == 49
    )


def test_several_workers_share_the_rounds(backend: Backend, store: Store, small: None) -> None:
    other = backend.open()
    for webhook in "abcdefg":
        many(store, webhook, 50)
    claimed = [
        called(one.claims.claim("me", NOW, 0, 3)) for _ in range(7) for one in (store, other)
    ]
    assert sum(map(len, claimed)) == 42
    counts = Counter(name[0] for names in claimed for name in names)
    assert set(counts) == set("abcdefg")
    assert max(counts.values()) - min(counts.values()) <= 3


def test_what_waits_for_conductor_is_made_due_in_steps(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "HURRIED", 2)
    many(store, "w", 5)
    claimed = store.claims.claim("me", NOW, 0, 9)
    store.claims.record_results(
        "me", [Result(one, "pending", "away", None, NOW + 9000, True) for one in claimed], NOW
    )
    store.claims.hurry(NOW + 1)
    assert len(store.claims.claim("me", NOW + 1, 0, 9)) == 5
