"""Ranking tasks says the same as comparing them, with less work."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from admin.explain import explainer
from admin.explain.explainer import Explainer
from admin.explain.pairs import Context, compare, share_that_holds
from criteria.document import Document
from store.records import NewEvent, Task, Term, new_event_id
from tests.admin.explain.test_explain import event, task, webhook
from tests.support.deciding import adopt
from tests.support.sample import make_sample

VALUES: list[Any] = ["push", 1, 1.0, "1", True, None, [1], {"a": 1}, "***"]
PATHS = ["$.type", "$.number", "$.items[*]", "$._webhook.headers['x-event']", "$.missing", "$["]


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


@pytest.mark.parametrize("hide", [(), ("$.type",)])
def test_the_nearest_of_many_are_those_of_which_the_most_criteria_hold(
    hide: tuple[str, ...],
) -> None:
    context = Context({"hook": webhook()}, {}, {}, {}, hide=lambda name: hide)
    one = event({"type": "push", "number": 1, "items": [1, "push"]})
    document = Document(one.document())
    for candidate in _tasks(400):
        criteria = compare(context.offer(one, document), candidate, context).criteria
        held = sum(criterion.holds for criterion in criteria) / len(criteria) if criteria else 1.0
        expected = -1.0 if "$[" in candidate.matches else held
        assert share_that_holds(candidate.matches, document) == expected, candidate


def test_a_receiver_with_many_tasks_hides_no_nearer_one_of_another(tmp_path: Path) -> None:
    sample = make_sample(tmp_path)
    tasks = [
        *(task({"$.ref": f"{number}"}, id=f"a-{number}", workflow="deploy") for number in range(5)),
        task({"$.ref": "refs/heads/Main"}, id="z", workflow="release"),
        *(
            task({"$.ref": "refs/heads/Main"}, id=f"other-{number}", workflow="other")
            for number in range(5)
        ),
    ]
    tasks = [replace(one, workflow_id=one.id) for one in tasks]
    adopt(sample.store, Term("sample"), tasks, sample.store.now())
    bridge = sample.bridge()
    shown = Explainer(bridge).event(bridge.event(sample.events["pending"]), limit=3).tasks
    assert shown[0].task.id == "z"
    assert {one.task.workflow for one in shown} == {"deploy", "release"}


def test_a_task_that_many_webhooks_may_reach_is_explained_with_a_share_of_the_events_of_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explainer, "_EVENTS_OF_ALL", 4)
    sample = make_sample(tmp_path)
    names = ["one", "two"]
    hooks = "".join(
        f"  - {{name: {name}, verifier: none, receivers: {{deploy: any}}}}\n" for name in names
    )
    (tmp_path / "webhooks.yaml").write_text(f"webhooks:\n{hooks}", encoding="utf-8")
    now = sample.store.now()
    new = [
        NewEvent(new_event_id(), name, now, "{}", {}, {}, now)
        for name in ["two"] + ["one"] * 5
        for _ in range(2)
    ]
    sample.store.deliveries.append(new)
    bridge = sample.bridge()
    near = Explainer(bridge).task(bridge.task("task-other")).near
    assert Counter(one.event.webhook for one in near) == {"one": 2, "two": 2}
