"""What is wrong right now."""

from __future__ import annotations

from dataclasses import replace

import pytest

from admin.check.health import BROKEN_READ, State, find_issues
from config.webhooks import Problem, Webhook
from store.records import SetAside, Task
from store.reports import Reports
from store.sql.facts import Pause
from store.sql.queries import UNRESOLVED_COUNTED
from worker.misfits import misfits_of

NOW = 1_800_000_000_000
HOOK = Webhook.model_validate({"name": "hook", "receivers": {"flow": "any"}})
WELL = State(
    reports=Reports(conductor="up"),
    problems=(),
    warnings=(),
    webhooks={"hook": HOOK},
    verified_at={"hook": NOW},
    counts={},
    oldest_pending=None,
    unresolved=0,
    failed=(),
    broken=(),
    waiting={"flow": 2},
    deliveries={"hook": {"accepted": 3, "rejected": 1}},
    set_aside=(),
    set_aside_counts={},
    deciding_until=NOW + 10_000,
    now=NOW,
)
FAILED = ("hook", NOW)
TASK = Task("t", "w", "flow", "ref", {}, NOW, broken="why")
ASIDE = SetAside("task", "t", None, "why", NOW, 1, NOW)
MISFITS = misfits_of(
    [Problem("a.yaml", 3, "webhook hook: receivers.flow", "no such workflow", "mend it")]
)
PROBLEM = Problem("a.yaml", 3, "webhook hook: hold", "wrong", "mend it")
EMPTY = Problem(
    "webhooks", 1, "webhooks", "the folder has no *.yaml file", "write one", warning=True
)


def test_nothing_is_wrong_when_all_is_well() -> None:
    assert find_issues(WELL) == []


@pytest.mark.parametrize(
    ("change", "level", "text"),
    [
        ({"deciding_until": None}, "error", "No worker is running"),
        ({"deciding_until": NOW - 1}, "error", "No worker is running"),
        ({"reports": Reports()}, "error", "never reached Conductor"),
        ({"reports": Reports(conductor="connection refused")}, "error", "Conductor can't be used"),
        ({"problems": (PROBLEM,)}, "error", "The definitions have errors"),
        (
            {"reports": Reports(conductor="up", discovery="workflows: off")},
            "warning",
            "tasks can't be searched",
        ),
        (
            {"reports": Reports(conductor="up", index_fails="orders: 503")},
            "error",
            "tasks that it alone shows are found late",
        ),
        (
            {"reports": Reports(conductor="up", another_server="t1")},
            "error",
            "knows none of the tasks that waited before",
        ),
        (
            {"reports": Reports(conductor="up", missing_calls="GET /x")},
            "error",
            "lacks calls that the bridge needs",
        ),
        (
            {"reports": Reports(conductor="up", relay_definitions_error="x")},
            "error",
            "The relay found errors",
        ),
        (
            {"reports": Reports(conductor="up", worker_definitions_error="x")},
            "error",
            "The worker found errors",
        ),
        (
            {"reports": Reports(conductor="up", misfits=MISFITS)},
            "warning",
            "don't fit the workflows",
        ),
        ({"expired": {"hook": 12}}, "warning", "12 events expired in the last hour"),
        (
            {"pauses": {"hook": Pause(NOW - 10_800_000, 12)}},
            "warning",
            "paused for 3 h: 12 events wait",
        ),
        (
            {"pauses": {"hook": Pause(NOW - 10_800_000, 0)}},
            "note",
            "paused for 3 h: no event waits",
        ),
        (
            {"reports": Reports(conductor="up", webhooks_gone={"shop": NOW})},
            "warning",
            "gone from the definitions",
        ),
        ({"warnings": (PROBLEM,)}, "note", "risky"),
        (
            {"warnings": (EMPTY,), "webhooks": {}, "waiting": {}},
            "note",
            "No webhook is defined yet",
        ),
        ({"oldest_pending": NOW - 7_200_000}, "error", "piling up: the oldest has waited 2 h"),
        ({"failed": (FAILED,)}, "error", "1 event failed in the last day"),
        ({"failed": (FAILED,) * 2}, "error", "2 events failed in the last day"),
        (
            {"failed": (FAILED,) * UNRESOLVED_COUNTED},
            "error",
            f"At least {UNRESOLVED_COUNTED} events failed in the last day",
        ),
        (
            {"set_aside_counts": {"task": 1}, "set_aside": (ASIDE,)},
            "warning",
            "1 task keeps failing and will be retried",
        ),
        ({"broken": (TASK,)}, "warning", "1 waiting task can't be matched"),
        (
            {"broken": (TASK,) * BROKEN_READ},
            "warning",
            f"At least {BROKEN_READ} waiting tasks can't be matched",
        ),
        ({"waiting": {"other": 1}}, "note", "no webhook here has as a receiver"),
        (
            {"deliveries": {"hook": {"rejected": 4}}},
            "warning",
            "rejected all of its deliveries in the last day (4)",
        ),
    ],
)
def test_each_thing_that_is_wrong_is_told(change: dict[str, object], level: str, text: str) -> None:
    (issue,) = find_issues(replace(WELL, **change))  # type: ignore[arg-type]
    assert issue.level == level
    assert text in issue.text


def test_of_very_many_items_that_are_set_aside_the_others_are_counted() -> None:
    (issue,) = find_issues(
        replace(WELL, set_aside_counts={"task": 90, "event": 3}, set_aside=(ASIDE,) * 20)
    )
    assert issue.details[-1].text == "set aside: 73 more items"


def test_of_very_many_workflows_that_nobody_serves_the_others_are_counted() -> None:
    (issue,) = find_issues(replace(WELL, waiting={f"flow{number}": 1 for number in range(12)}))
    assert len(issue.details) == 11
    assert issue.details[-1].text == "and those of 2 more"


def test_a_short_wait_is_no_pile() -> None:
    assert find_issues(replace(WELL, oldest_pending=NOW - 5_000)) == []


def test_the_most_harmful_comes_first() -> None:
    gone = Reports(webhooks_gone={"shop": NOW})
    found = find_issues(
        replace(WELL, waiting={"other": 1}, broken=(TASK,), deciding_until=None, failed=(FAILED,), expired={"hook": 1},
                reports=gone)
    )  # fmt: skip
    told = ["failed", "expired", "No worker", "gone", "can't be matched", "no webhook here"]
    assert [words in issue.text for words, issue in zip(told, found, strict=True)] == [True] * len(
        told
    )


def test_a_webhook_that_was_deleted_on_purpose_is_not_wrong() -> None:
    reports = Reports(conductor="up", webhooks_gone={"shop": NOW})
    assert find_issues(replace(WELL, reports=reports, deleted=["shop"])) == []


def test_one_line_tells_of_all_webhooks_that_do_not_fit_a_workflow() -> None:
    problems = [
        Problem("a.yaml", 1, f"webhook hook{number}: receivers.flow", "no flow", "mend it")
        for number in range(190)
    ]
    (issue,) = find_issues(
        replace(WELL, reports=Reports(conductor="up", misfits=misfits_of(problems)))
    )
    (detail,) = issue.details
    assert detail.text == "no flow; mend it (hook0, hook1, hook2, hook3, hook4 and 185 more)"
    assert detail.webhook == "hook0"
