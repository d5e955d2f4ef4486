"""A webhook whose events cost much to evaluate takes its turn in each round, and others are decided
in between."""

from __future__ import annotations

import json
from typing import Any

import pytest

from config.webhooks import Definitions, Webhook
from criteria.evaluator import Node
from store.records import NewEvent
from tests.support.worker_bench import Bench, leader_of
from tests.support.worker_bench import bench as bench
from worker.decision import matching

SLOW = {"items": [{"id": number} for number in range(2000)]}
"""Some ten thousand steps for each path with `..`."""


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many nodes evaluations have visited."""
    made = [0]
    make = Node.__init__

    def count(node: Node, *given: Any) -> None:
        made[0] += 1
        make(node, *given)

    monkeypatch.setattr(Node, "__init__", count)
    monkeypatch.setattr(matching, "TURN", 20_000)
    return made


def test_events_of_others_are_decided_between_those_that_cost_much(
    bench: Bench, nodes: list[int]
) -> None:
    hooks = (
        {"name": "slow", "receivers": {"flow": "any"}},
        {"name": "w", "receivers": {"flow": "any"}},
    )
    bench.source.current = Definitions(tuple(map(Webhook.model_validate, hooks)))
    bench.conductor.schedule(
        bench.conductor.begin("flow").id, "wait", {"$..name": "none", "$..[?(@.id == -1)].id": 1}
    )
    # A taker of each event.
    bench.conductor.schedule(bench.conductor.begin("flow").id, "wait", {"$..id": 5})
    worker = bench.deciding()
    worker.step()

    def arrive(webhook: str, number: int, payload: Any) -> list[str]:
        now = bench.store.now()
        new = [f"{webhook}{one}" for one in range(number)]
        text = json.dumps(payload)
        bench.store.deliveries.append(
            [NewEvent(id_, webhook, now, text, {}, {}, now + 600_000) for id_ in new]
        )
        return new

    def undecided(events: list[str]) -> list[str]:
        found = map(bench.store.queries.event, events)
        return [event.id for event in found if event is not None and event.decided_at is None]

    nodes[0] = 0
    slow = arrive("slow", 12, SLOW)
    arrive("w", 3, {})
    costly = [
        event for event in bench.store.decisions.agenda(100).undecided if event.webhook == "slow"
    ]
    assert not leader_of(worker).decider.lacks_taker(costly)
    assert nodes[0] < 3 * 20_000, "who asks whether to look for takers ends their turn too"
    left = [len(slow)]
    while undecided(slow):
        nodes[0] = 0
        worker.step()
        assert not undecided(["w0", "w1", "w2"]), "they don't wait for all of the others"
        assert nodes[0] < 6 * 20_000, "twice a turn, and the event that ends it"
        left.append(len(undecided(slow)))
        assert undecided(slow) == slow[len(slow) - left[-1] :], "in order"
        assert left[-1] < left[-2], "each round decides some"
        assert leader_of(worker).decider.unfinished is bool(left[-1]), (
            "the next round begins at once"
        )
    assert len(left) > 4
