"""Ranking tasks says the same as comparing them, with less work."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from admin.explain import explainer, pairs
from admin.explain.explainer import Explainer
from admin.explain.pairs import Context, Nearness, compare
from store.one_target import OneTarget
from store.records import Event, NewEvent, Task, Term, Workflow, new_event_id
from tests.admin.explain.test_explain import NOW, event, target, task, webhook
from tests.admin.sample import Sample, make_sample

VALUES: list[Any] = ["push", 1, 1.0, "1", True, None, [1], {"a": 1}, "***"]
PATHS = ["$.type", "$.number", "$.items[*]", "$._webhook.headers['x-event']", "$.missing", "$["]
SURROUNDINGS = {
    "nothing known": {},
    "versions known": {"workflows": {"w1": Workflow("w1", 1, "w1", NOW - 1, None)}},
    "targets known": {"targets_on": {"t1": [target()]}},
    "left to Conductor": {"left": ["flow"]},
    "no webhook": {"webhooks": {}},
    "hidden": {"hide": lambda name: ("$.type",)},
}


def _tasks(number: int) -> list[Task]:
    draw = Random(7)
    return [
        task(
            {draw.choice(PATHS): draw.choice(VALUES) for _ in range(draw.randint(0, 4))},
            id=f"t{draw.randint(0, 3)}",
            workflow=draw.choice(["flow", "other"]),
            workflow_id=draw.choice(["w1", "w2"]),
        )
        for _ in range(number)
    ]


@pytest.mark.parametrize("only", [None, OneTarget("complete", "flow", "w1", "wait")])
@pytest.mark.parametrize("known", SURROUNDINGS)
def test_a_rank_is_the_nearness_of_the_whole_comparison(known: str, only: OneTarget | None) -> None:
    given: dict[str, Any] = SURROUNDINGS[known]
    about = {"webhooks": {"hook": webhook(receivers={"flow": [2]})}, "targets_of": {}, "targets_on": {}} | given
    context = Context(**{"workflows": {}, "now": NOW, **about})
    one = event({"type": "push", "number": 1, "items": [1, "push"]}, only=only)
    document = one.document()
    rank = Nearness(one, document, context)
    for candidate in _tasks(400):
        assert rank(candidate) == compare(one, document, candidate, context).nearness, candidate


def test_tasks_that_differ_are_not_compared_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []

    def counting(one: Event, document: Any, candidate: Task, context: Context) -> Any:
        compared.append(candidate.id)
        return compare(one, document, candidate, context)

    monkeypatch.setattr(pairs, "compare", counting)
    context = Context({"hook": webhook()}, {}, {}, {}, NOW)
    rank = Nearness(event(), event().document(), context)
    for candidate in [task({"$.type": f"pull {number}"}, id=str(number)) for number in range(50)]:
        rank(candidate)
    rank(task(id="holds"))
    assert compared == ["holds"]


def test_a_receiver_with_many_tasks_hides_no_nearer_one_of_another(tmp_path: Path) -> None:
    sample = make_sample(tmp_path)
    tasks = [
        *(task({"$.ref": f"{number}"}, id=f"a-{number}", workflow="deploy") for number in range(5)),
        task({"$.ref": "refs/heads/Main"}, id="z", workflow="release"),
        *(task({"$.ref": "refs/heads/Main"}, id=f"other-{number}", workflow="other") for number in range(5)),
    ]
    tasks = [replace(one, workflow_id=one.id) for one in tasks]
    sample.store.tasks.adopt(Term("sample"), tasks, sample.store.now())
    bridge = sample.bridge()
    shown = Explainer(bridge).event(bridge.event(sample.events["pending"]), limit=3).tasks
    assert shown[0].task.id == "z"
    assert {one.task.workflow for one in shown} == {"deploy", "release"}
    sample.store.close()


def test_a_task_that_many_webhooks_may_reach_is_explained_with_a_share_of_the_events_of_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explainer, "_EVENTS_OF_ALL", 4)
    sample = make_sample(tmp_path)
    names = ["one", "two"]
    hooks = "".join(f"  - {{name: {name}, verifier: none, receivers: {{deploy: any}}}}\n" for name in names)
    (tmp_path / "webhooks.yaml").write_text(f"webhooks:\n{hooks}", encoding="utf-8")
    now = sample.store.now()
    new = [NewEvent(new_event_id(), name, now, "{}", {}, {}, now) for name in ["two"] + ["one"] * 5 for _ in range(2)]
    sample.store.deliveries.append(new)
    bridge = sample.bridge()
    near = Explainer(bridge).task(bridge.task("task-other")).near
    assert Counter(one.event.webhook for one in near) == {"one": 2, "two": 2}
    sample.store.close()


def test_a_payload_is_read_once_however_many_tasks_wait(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    bridge = sample.bridge()
    event, document = bridge.event(sample.events["pending"]), Event.document
    read: list[str] = []

    def reading(self: Event, metadata: bool = True) -> dict[str, Any]:
        read.append(self.id)
        return document(self, metadata)

    monkeypatch.setattr(Event, "document", reading)
    assert Explainer(bridge).event(event).tasks
    assert read == [event.id]
