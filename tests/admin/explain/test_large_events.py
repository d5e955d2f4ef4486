"""What a large event costs those who ask about it: time and answer are bounded, however many tasks
wait."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from admin import operations
from admin.api_object import as_json
from admin.explain import explainer
from criteria import evaluator
from criteria.evaluator import Node
from store.records import NewEvent, Term, new_event_id
from tests.admin.conftest import Cli
from tests.admin.explain.test_explain import task
from tests.support.deciding import adopt
from tests.support.sample import Sample

LARGE = {
    "items": [{"id": number, "tags": ["a", "b"]} for number in range(5000)],
    "blob": "x" * 200_000,
}


def arrives(sample: Sample, payload: Mapping[str, Any]) -> str:
    now = sample.store.now()
    event_id = new_event_id()
    sample.store.deliveries.append(
        [NewEvent(event_id, "orders", now, json.dumps(payload), {}, {}, now)]
    )
    return event_id


def wait(sample: Sample, number: int, path: Callable[[int], str]) -> None:
    """So many tasks wait, each with its path."""
    tasks = [
        task({path(one): "none"}, id=f"t{one}", workflow="order_flow") for one in range(number)
    ]
    tasks = [replace(one, workflow_id=one.id) for one in tasks]
    adopt(sample.store, Term("sample"), tasks, sample.store.now())


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """The nodes that evaluations visit."""
    counts: Counter[str] = Counter()
    make = Node.__init__

    def count(node: Node, *given: Any) -> None:
        counts["nodes"] += 1
        make(node, *given)

    with monkeypatch.context() as patch:
        patch.setattr(Node, "__init__", count)
        yield counts


@pytest.mark.parametrize("where", ["/events/{}", "/api/events/{}", "/api/events/{}/why"])
@pytest.mark.parametrize("hide", ["", "    hide: [$.blob]\n"])
def test_tasks_that_share_a_path_cost_no_more_than_one_of_them(
    where: str, hide: str, sample: Sample, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = sample.settings.bridge_webhooks
    file.write_text(file.read_text().replace("    hold: 0s\n", f"    hold: 0s\n{hide}"))
    event_id = arrives(sample, LARGE)

    def nodes() -> int:
        with counted(monkeypatch) as counts:
            assert client.get(where.format(event_id)).status_code == 200
        return counts["nodes"]

    wait(sample, 1, lambda one: "$..id")
    calm = nodes()
    assert calm > 5000
    wait(sample, 20, lambda one: "$..id")
    assert nodes() == calm


def test_all_paths_of_one_question_share_a_bound_and_what_is_beyond_it_is_said(
    sample: Sample, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explainer, "STEPS", 100_000)
    monkeypatch.setattr(evaluator, "MAX_STEPS", 50_000)
    event_id = arrives(sample, LARGE)
    wait(sample, 60, lambda one: f"$..id{one}")
    with counted(monkeypatch) as counts:
        found: Any = client.get(f"/api/events/{event_id}/why?limit=60").json
    assert counts["nodes"] < 150_000
    verdicts = Counter(one["verdict"] for one in found["tasks"])
    assert verdicts["differs"] >= 2
    assert verdicts["not compared"] > 50


@pytest.mark.parametrize("path", ["$", "$.items[*]"])
def test_an_explanation_of_a_large_event_is_no_longer_than_people_read(
    path: str, sample: Sample, client: FlaskClient, cli: Cli
) -> None:
    wait(sample, 20, lambda one: path)
    calm, large = arrives(sample, {"items": [1], "blob": "x"}), arrives(sample, LARGE)

    def answers(event_id: str) -> list[str]:
        return [
            client.get(f"/api/events/{event_id}/why?limit=20").text,
            client.get(f"/events/{event_id}?all=true").text.split('id="payload"')[0],
            cli("events", "explain", event_id, "--json").output,
            json.dumps(as_json(operations.explain_event(sample.bridge(), event_id, 20))),
        ]

    for small, answer in zip(answers(calm), answers(large), strict=True):
        assert len(answer) < len(small) + 20 * 6000
    [criterion] = json.loads(answers(large)[0])["tasks"][0]["criteria"]
    assert "leftOut" in criterion
    [criterion] = json.loads(answers(calm)[0])["tasks"][0]["criteria"]
    assert "leftOut" not in criterion
