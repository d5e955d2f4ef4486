"""The indexes find what comparing everything with everything finds."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from criteria.matches import Criteria
from store.records import Event, Task
from tests.support.examples import at_most, examples
from worker.decision.matching import Document, HeldEvent, HeldIndex, TaskIndex, parse_task

scalars = st.sampled_from([None, 0, 1, 1.0, "1", True, "true", "a", "b", [1], {"x": 1}])
paths = st.sampled_from(["$.a", "$.b", "$['a']", "$.l[*]", "$.l[0]", "$..a"])
criteria = st.one_of(
    st.none(), st.dictionaries(paths, scalars, max_size=3), st.just("broken"), st.just({"$.[": 1})
)
documents = st.fixed_dictionaries(
    {}, optional={"a": scalars, "b": scalars, "l": st.lists(scalars, max_size=4)}
)
workflows = st.sampled_from(["one", "two", "three"])


def task(number: int, workflow: str = "one", matches: Any = None, scheduled_at: int = 0) -> Task:
    return Task(f"t{number:05}", f"w{number}", workflow, "wait", matches, scheduled_at)


def event(
    seq: int, webhook: str = "w", payload: Any = None, received_at: int = 0, hold_until: int = 1000
) -> Event:
    text = json.dumps(payload or {})
    return Event(
        seq=seq,
        id=f"e{seq}",
        webhook=webhook,
        received_at=received_at,
        delivery_id=None,
        payload=text,
        headers={},
        query={},
        status="pending",
        hold_until=hold_until,
        decided_at=None,
        hold=1,
        settled_at=None,
        replay_of=None,
    )


def holds(matches: Any, document: dict[str, Any]) -> bool:
    waiting, broken = parse_task(task(0, matches=matches))
    assert (waiting.criteria is None) == (broken is not None)
    return waiting.criteria is not None and waiting.criteria.holds(document)


class Tasks(RuleBasedStateMachine):
    """`TaskIndex` against a plain dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.index = TaskIndex()
        self.plain: dict[str, Task] = {}

    @rule(
        number=st.integers(0, 30),
        workflow=workflows,
        matches=criteria,
        at=st.integers(0, 3),
        timed=st.booleans(),
    )
    def add(self, number: int, workflow: str, matches: Any, at: int, timed: bool) -> None:
        new = replace(task(number, workflow, matches, at), response_timeout=30 if timed else 0)
        self.index.add(parse_task(new)[0])
        self.plain[new.id] = new

    @rule(number=st.integers(0, 30))
    def remove(self, number: int) -> None:
        id_ = task(number).id
        removed = self.index.remove(id_)
        assert (removed is not None) == (self.plain.pop(id_, None) is not None)

    @rule(document=documents, wanted=st.sets(workflows))
    def look(self, document: dict[str, Any], wanted: set[str]) -> None:
        found = [waiting.id for waiting in self.index.matching(Document(document), wanted)]
        expected = [
            t for t in self.plain.values() if t.workflow in wanted and holds(t.matches, document)
        ]
        assert found == [t.id for t in sorted(expected, key=lambda t: (t.scheduled_at, t.id))]

    @invariant()
    def knows_the_same(self) -> None:
        assert sorted(self.index.ids()) == sorted(self.plain)
        assert {waiting.id for waiting in self.index} == set(self.plain)
        assert len(self.index) == len(self.plain)
        assert all(id_ in self.index and self.index.get(id_) is not None for id_ in self.plain)

    @invariant()
    def keeps_nothing_of_what_is_gone(self) -> None:
        if not self.plain:
            assert not self.index._groups


class Held(RuleBasedStateMachine):
    """`HeldIndex` against a plain dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.held = HeldIndex()
        self.plain: dict[int, Event] = {}
        self.late: list[Event] = []
        self.seq = 0

    @rule(
        webhook=st.sampled_from(["v", "w"]),
        payload=documents,
        many=st.booleans(),
        until=st.integers(0, 9),
    )
    def hold(self, webhook: str, payload: dict[str, Any], many: bool, until: int) -> None:
        self.seq += 1
        if many:
            payload = {**payload, "l": [*range(2, 100), *payload.get("l", ())]}
        new = event(self.seq, webhook, payload, 10_000 * self.seq, until)
        self.plain[new.seq] = new
        self.held.add(HeldEvent(new), Document(new.document()))
        self.held.add(HeldEvent(new), Document(new.document()))

    @precondition(lambda self: self.plain)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        gone = self.plain.pop(data.draw(st.sampled_from(sorted(self.plain))))
        self.held.remove(HeldEvent(gone))
        self.held.remove(HeldEvent(gone))
        self.late.append(gone)

    @precondition(lambda self: self.late)
    @rule()
    def hold_again(self) -> None:
        again = self.late.pop()
        self.plain[again.seq] = again
        self.held.add(HeldEvent(again), Document(again.document()))

    @rule(
        webhook=st.sampled_from("vw"),
        matches=st.dictionaries(paths, scalars, max_size=3),
        after=st.integers(0, 8),
    )
    def look(self, webhook: str, matches: Any, after: int) -> None:
        parsed = Criteria.parse(matches)
        if None in parsed.keys:
            return
        mine = {e.seq: e for e in self.plain.values() if e.webhook == webhook}
        if not self.held.knows(webhook, parsed.paths):
            self.held.learn(
                webhook, parsed, ((e.seq, e.document()) for e in reversed(mine.values()))
            )
        found = [
            candidate.seq
            for candidate, sure in self.held.candidates(webhook, parsed, 10_000 * after)
            if sure or parsed.holds(mine[candidate.seq].document())
        ]
        assert found == sorted(found)
        fitting = [seq for seq, e in sorted(mine.items()) if parsed.holds(e.document())]
        assert set(found) <= set(fitting)
        assert set(found) >= {seq for seq in fitting if mine[seq].received_at >= 10_000 * after}

    @rule(before=st.integers(0, 10))
    def what_has_ended(self, before: int) -> None:
        ended = {e.seq for e in self.plain.values() if e.hold_until < before}
        assert {e.seq for e in self.held.ended(before, lambda _: before)} == ended
        assert {e.seq for e in self.held.ended(before, lambda _: before)} == ended, (
            "they stay until they are removed"
        )

    @invariant()
    def knows_the_same(self) -> None:
        assert len(self.held) == len(self.plain)
        assert all(HeldEvent(e) in self.held for e in self.plain.values())

    @invariant()
    def keeps_nothing_of_what_is_gone(self) -> None:
        if not self.plain:
            found = [path for paths in self.held._paths.values() for path in paths.values()]
            assert not any(path._by_key or path._with_many or path._keys for path in found)


TestTasks = examples(Tasks.TestCase)
TestHeld = examples(Held.TestCase)
TestTasks.settings = TestHeld.settings = settings(max_examples=at_most(60), stateful_step_count=30)


def test_an_events_path_is_evaluated_once_for_all_tasks() -> None:
    asked = []

    def select(value: Any, shared: Any = None, /) -> list[Any]:
        asked.append(value)
        return [1, None, "1", [1]]

    document = Document({"a": 1})
    assert (
        document.keys("$.a", select) == document.keys("$.a", select) == frozenset({"1", ("[1]",)})
    )
    assert len(asked) == 1


def test_the_work_for_an_event_does_not_grow_with_the_tasks_that_do_not_match() -> None:
    """Counted in comparisons, not in seconds."""
    index = TaskIndex()
    for number in range(2000):
        index.add(parse_task(task(number, "one", {"$.a": number, "$.b": "x"}))[0])
    looked = []

    class Counting(dict[Any, Any]):
        def __getitem__(self, key: Any) -> Any:
            looked.append(key)
            return super().__getitem__(key)

        def __iter__(self) -> Any:
            raise AssertionError("no walk through all values")

    groups = index._groups["one"]
    group = groups["$.a", "$.b"]
    groups["$.a", "$.b"] = group._replace(by_keys=Counting(group.by_keys))
    [found] = index.matching(Document({"a": 7, "b": "x"}), ["one"])
    assert found.id == "t00007"
    assert len(looked) == 1


@given(
    st.lists(st.sampled_from([0, 0, 0, 15_000, 90_000, 200_000]), min_size=4, max_size=12),
    st.lists(st.integers(0, 11), max_size=24),
)
def test_events_that_are_held_again_hide_no_other_however_late_they_were_stored(
    late: list[int], again: list[int]
) -> None:
    held = HeldIndex()
    parsed = parse_task(task(0, matches={"$.a": 1}))[0].criteria
    assert parsed is not None
    held.learn("w", parsed, [])
    events = [
        event(n, payload={"a": 1}, received_at=1_000_000 + n * 20_000 - by)
        for n, by in enumerate(late, 1)
    ]
    there: set[int] = set()
    coming = iter(events)
    for number in [*again, *range(12)]:
        if number % 3 == 0 and (new := next(coming, None)) is not None and number % 2:
            held.add(HeldEvent(new), Document({"a": 1}))
            there.add(new.seq)
        elif number < len(events):
            each = events[number]
            if each.seq in there:
                held.remove(HeldEvent(each))
                there.discard(each.seq)
            else:
                held.add(HeldEvent(each), Document({"a": 1}))
                there.add(each.seq)
        for since in (each.received_at for each in events):
            arrived_since = {
                each.id for each in events if each.seq in there and each.received_at >= since
            }
            assert arrived_since <= {found.id for found, _ in held.candidates("w", parsed, since)}


def test_of_too_many_paths_those_that_were_not_used_for_longest_are_forgotten() -> None:
    held = HeldIndex()
    documents = [(number, {f"k{number % 264}": "x"}) for number in range(1, 601)]
    for number, document in documents:
        held.add(HeldEvent(event(number)), Document(document))

    def criteria_of(kind: int) -> Criteria:
        return Criteria.parse({f"$.k{kind}": "x"})

    for kind in range(264):
        held.learn("w", criteria_of(kind), documents)
        for used in (0, kind):
            found = list(held.candidates("w", criteria_of(used), float("-inf")))
            assert [(each.seq, sure) for each, sure in found] == [
                (number, True) for number, _ in documents if number % 264 == used
            ]
    assert [kind for kind in range(264) if held.knows("w", (f"$.k{kind}",))] == [0, *range(9, 264)]
    for number in range(1, 601):
        held.remove(HeldEvent(event(number)))
    assert len(held) == 0
