"""Which messages an event makes."""

from __future__ import annotations

from store.one_target import OneTarget
from store.records import Target, place_of
from tests.worker.decision.decider_bench import Bench
from tests.worker.decision.decider_bench import bench as bench
from tests.worker.decision.test_one_target import replayed

WEBHOOK = {
    "name": "w",
    "messages": [
        {"workflow": "agent", "key": "$.thread", "when": {"$.n": 1}, "version": 3},
        {"workflow": "agent", "key": "$.user", "else": "hold"},
        {"workflow": "audit", "key": "$.user", "else": "ignore"},
    ],
}


def made(bench: Bench, **payload: object) -> list[Target]:
    event = bench.arrive(**payload)  # type: ignore[arg-type]
    bench.decide()
    return bench.store.queries.targets_of([event])


def test_a_workflow_gets_one_message_by_the_first_entry_that_applies_and_has_a_key(
    bench: Bench,
) -> None:
    bench.define(WEBHOOK)
    both = [("agent", "7", "start", 3), ("audit", "8", "ignore", None)]
    for payload, expected in (
        ({"n": 1, "thread": 7, "user": 8}, both),
        ({"n": 1, "user": 8}, [("agent", "8", "hold", None), both[1]]),
        ({"n": 2, "thread": 7, "user": 8}, [("agent", "8", "hold", None), both[1]]),
        ({"n": 2, "thread": 7}, []),
    ):
        targets = made(bench, **payload)
        assert [
            (one.workflow, one.correlation_id, one.otherwise, one.version) for one in targets
        ] == expected


def test_an_event_without_a_key_is_ignored(bench: Bench) -> None:
    bench.define(WEBHOOK)
    event = bench.arrive(n=2)
    bench.decide()
    assert bench.event(event).status == "ignored"


def test_messages_of_one_key_wait_for_each_other_and_others_dont(bench: Bench) -> None:
    bench.define(WEBHOOK)
    [first, _], [second, _], [other, _] = (made(bench, n=2, user=user) for user in (1, 1, 2))
    assert [first.state, second.state, other.state] == ["pending", "queued", "pending"]
    assert first.lane == second.lane != other.lane


def test_a_message_is_made_beside_takers_and_starts(bench: Bench) -> None:
    bench.define({**WEBHOOK, "receivers": {"flow": "any"}, "starts": [{"workflow": "first"}]})
    bench.wait()
    assert [target.kind for target in made(bench, n=2, user=1)] == [
        "complete",
        "start",
        "message",
        "message",
    ]


def test_a_replay_to_one_target_makes_that_message_and_no_other(bench: Bench) -> None:
    bench.define(WEBHOOK)
    agent, audit = made(bench, n=2, user=1)
    for target in (agent, audit):
        event = replayed(bench, place_of(target))
        bench.decide()
        assert [one.workflow for one in bench.store.queries.targets_of([event])] == [
            target.workflow
        ]
    assert str(place_of(agent)) == "message to agent"
    assert place_of(agent) == OneTarget("message", "agent")
