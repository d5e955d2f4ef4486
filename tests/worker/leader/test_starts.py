"""Which workflows an event starts, and when."""

from __future__ import annotations

from typing import Any

from store.records import Result
from tests.worker.leader.decider_bench import SECOND, Bench, starts
from tests.worker.leader.decider_bench import bench as bench

# --- start or resume, once, pace, pause ---

TALK = {
    "name": "w",
    "receivers": {"flow": "any"},
    "starts": [{"workflow": "flow", "unless": "taken", "once": {"key": "$.id"}}],
}


def record(bench: Bench, event_id: str, state: Any) -> None:
    live = [target for target in bench.store.queries.targets_of([event_id]) if target.state == "claimed"]
    bench.store.claims.record_results("me", [Result(target, state) for target in live], bench.ms)


def test_a_start_unless_taken_is_made_only_if_no_task_takes_the_event_which_is_then_not_held(bench: Bench) -> None:
    bench.define(TALK)
    first = bench.arrive()
    bench.decide()
    assert (len(starts(bench, first)), bench.store.decisions.held(0, 9)) == (1, [])
    task = bench.wait()
    bench.ms += SECOND
    second = bench.arrive()
    bench.decide()
    assert (bench.takers(second), starts(bench, second)) == ([task.id], [])


def test_an_event_whose_takers_are_all_gone_makes_the_start_that_they_forbade(bench: Bench) -> None:
    bench.define(TALK)
    bench.wait()
    bench.ms += SECOND
    event_id = bench.arrive()
    bench.decide()
    record(bench, event_id, "cancelled")
    bench.decide()
    [start] = starts(bench, event_id)
    assert start.correlation_id == event_id
    record(bench, event_id, "done")
    assert bench.event(event_id).status == "delivered"


def test_an_event_whose_takers_are_gone_is_held_if_the_start_was_made_before(bench: Bench) -> None:
    bench.define({**TALK, "starts": [{"workflow": "flow"}]})
    bench.wait()
    bench.ms += SECOND
    event_id = bench.arrive()
    bench.decide()
    bench.define(TALK)
    for target in bench.store.queries.targets_of([event_id]):
        state: Any = "done" if target.kind == "start" else "cancelled"
        bench.store.claims.record_results("me", [Result(target, state)], bench.ms)
    bench.decide()
    assert len(starts(bench, event_id)) == 1
    assert [event.id for event in bench.store.decisions.held(0, 9)] == [event_id]


def test_starts_of_one_value_have_one_key_and_those_without_a_value_none(bench: Bench) -> None:
    bench.define(TALK)
    for payload in ({"id": 7}, {"id": "7"}, {"id": 8}, {}):
        bench.arrive(**payload)
    bench.decide()
    seven, same, eight, none = (starts(bench, f"event{number}")[0] for number in (1, 2, 3, 4))
    assert seven.once_key == same.once_key != eight.once_key
    assert (seven.once_while, none.once_key, none.once_while) == ("running", None, None)
    holder = bench.store.once_keys.holder(str(seven.once_key))
    assert holder is not None
    assert holder.target_id == seven.id


def test_an_edit_of_an_entrys_input_changes_only_starts_that_are_decided_afterwards(bench: Bench) -> None:
    def inputs(event: str) -> list[str | None]:
        return [target.input for target in bench.store.queries.targets_of([event])]

    starts = {"name": "w", "starts": [{"workflow": "flow", "input": {"a": "$.n"}}, {"workflow": "flow"}]}
    bench.define(starts)
    before = bench.arrive(n=1)
    bench.decide()
    bench.define({**starts, "starts": [{"workflow": "flow"}, {"workflow": "flow", "input": {}}]})
    after = bench.arrive(n=2)
    bench.decide()
    assert (inputs(before), inputs(after)) == (['{"a": "$.n"}', None], [None, "{}"])
