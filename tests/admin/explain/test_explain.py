"""Why an event did or didn't match."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from admin.explain.events import explain_event
from admin.explain.explainer import describe_task, explain_task
from admin.explain.pairs import Context, compare
from admin.explain.results import Comparison
from admin.wording.targets import describe_target
from config.webhooks import Webhook
from criteria.descriptions import describe_criterion, shown
from criteria.document import Document
from criteria.matches import Criterion
from store.hiding import Hidden
from store.records import Event, Target, Task, Workflow, iso
from worker.misfits import Misfit, no_workflow

NOW = 1_800_000_000_000
MINUTE = 60_000
RUNNING = Workflow("w1", 1, "w1", NOW - MINUTE, None)


def webhook(**keys: Any) -> Webhook:
    return Webhook.model_validate(
        {"name": "hook", "receivers": {"flow": "any"}, "verifier": "none", **keys}
    )


def event(payload: Any = None, **fields: Any) -> Event:
    defaults: dict[str, Any] = {
        "seq": 1,
        "id": "e1",
        "webhook": "hook",
        "received_at": NOW,
        "delivery_id": None,
        "payload": json.dumps({"type": "push"} if payload is None else payload),
        "headers": {"x-event": "push"},
        "query": {},
        "status": "expired",
        "hold_until": NOW + 10 * MINUTE,
        "decided_at": NOW + 100,
        "hold": "no",
        "settled_at": None,
        "replay_of": None,
        "joinable_until": NOW + 70 * MINUTE,
    }
    return Event(**{**defaults, **fields})


def task(matches: Any = None, **fields: Any) -> Task:
    defaults: dict[str, Any] = {
        "id": "t1",
        "workflow_id": "w1",
        "workflow": "flow",
        "reference_name": "wait",
        "matches": {"$.type": "push"} if matches is None else matches,
        "scheduled_at": NOW - MINUTE,
    }
    found = Task(**{**defaults, **fields})
    return replace(found, waiting_since=found.waiting_since or found.scheduled_at)


def target(**fields: Any) -> Target:
    defaults: dict[str, Any] = {
        "id": 1,
        "event_id": "e1",
        "kind": "complete",
        "workflow": "flow",
        "workflow_id": "w1",
        "task_id": "t1",
        "reference_name": "wait",
        "version": None,
        "correlation_id": None,
        "state": "done",
        "attempts": 1,
        "error": None,
        "claimed_by": None,
        "claimed_at": None,
        "due_at": NOW,
        "created_at": NOW,
        "settled_at": NOW + 200,
    }
    return Target(**{**defaults, **fields})


def context(
    hook: Webhook | None = None,
    *,
    on_event: tuple[Target, ...] = (),
    on_task: tuple[Target, ...] = (),
    workflow: Workflow | None = None,
    conductor_error: str | None = None,
    defined: bool = True,
    paused: Mapping[str, int] | None = None,
) -> Context:
    hook = hook or webhook()
    return Context(
        webhooks={hook.name: hook} if defined else {},
        targets_of={"e1": on_event},
        targets_on={"t1": on_task},
        workflows={workflow.id: workflow} if workflow else {},
        conductor_error=conductor_error,
        paused=paused or {},
        hide=hides_what_is_defined(hook if defined else None),
    )


def hides_what_is_defined(hook: Webhook | None) -> Callable[[str], Hidden]:
    return lambda name: hook.hide if hook is not None else ()


def find(one: Event, other: Task, context: Context) -> Comparison:
    return compare(context.offer(one, Document(one.document())), other, context)


# --- an event beside a task ---


def test_the_first_criterion_that_fails_is_told_with_the_value_found() -> None:
    found = find(event({"a": 1, "b": 2}), task({"$.a": 1, "$.b": 3, "$.c": 4}), context())
    assert found.verdict == "differs"
    assert found.reason == "$.b is 2, expected is 3"
    assert found.first_failed is not None
    assert found.first_failed.path == "$.b"
    assert [criterion.holds for criterion in found.criteria] == [True, False, False]


def test_the_metadata_counts() -> None:
    assert find(event(), task({"$._webhook.headers['x-event']": "pull"}), context()).reason == (
        '$._webhook.headers[\'x-event\'] is "push", expected is "pull"'
    )


@pytest.mark.parametrize("matches", [{"$[": 1}, ["$.a"], "text", 5])
def test_a_task_whose_matches_cannot_be_parsed_is_broken(matches: Any) -> None:
    found = find(event(), task(matches), context())
    assert found.verdict == "broken"
    assert "never matches" in found.reason


def test_a_workflow_that_is_no_receiver_is_out_of_reach_and_the_remedy_is_told() -> None:
    found = find(event(), task(workflow="other"), context())
    assert found.verdict == "out of reach"
    assert "other is not a receiver of hook (receivers: flow)" in found.reason
    assert "`other: any`" in found.reason
    assert found.criteria[0].holds, "what its criteria say is told all the same"


def test_a_workflow_that_is_left_to_conductor_is_told() -> None:
    hook = webhook(starts=[{"workflow": "flow"}])
    here = replace(context(hook=hook), left=("flow",))
    text = "flow is left to webhooks of Conductor's own: BRIDGE_LEAVE_TO_CONDUCTOR names it"
    found = find(event(), task(), here)
    assert (found.verdict, found.reason) == ("out of reach", text)
    explained = explain_event(event(status="ignored"), [], here)
    assert "left to Conductor (BRIDGE_LEAVE_TO_CONDUCTOR)" in explained.meaning[0]
    assert [(start.holds, start.reason) for start in explained.starts] == [(False, text)]
    assert text in describe_task(task(), (), here)


def test_another_version_is_out_of_reach() -> None:
    hook = webhook(receivers={"flow": [2, 3]})
    found = find(
        event(), task(), context(hook, workflow=Workflow("w1", 1, "w1", NOW - MINUTE, None))
    )
    assert (found.verdict, found.is_near) == ("out of reach", True)
    assert "version 1" in found.reason
    assert "2, 3" in found.reason


def test_a_version_that_is_not_known_yet_is_to_be_looked_up() -> None:
    here = context(webhook(receivers={"flow": 2}))
    assert find(event({}), task(), here).verdict == "differs"
    found = find(event(), task(), here)
    assert found.verdict == "matches"
    assert "still to be looked up in Conductor" in found.reason


def test_a_workflow_that_became_a_receiver_after_the_hold_is_told() -> None:
    since = NOW + 11 * MINUTE
    found = find(event(), task(), replace(context(), added_at={("hook", "flow"): since}))
    assert found.verdict == "out of reach"
    assert f"since {iso(since)}, and the event was held only until" in found.reason
    in_time = replace(context(), added_at={("hook", "flow"): NOW + 10 * MINUTE})
    assert find(event(), task(), in_time).verdict == "matches"


def test_a_webhook_that_is_gone_is_told() -> None:
    assert "no longer defined" in find(event(), task(), context(defined=False)).reason


@pytest.mark.parametrize(
    ("fields", "verdict", "text"),
    [
        ({"state": "done"}, "taken", "Completed task wait of flow (w1)"),
        (
            {"state": "claimed", "settled_at": None, "error": "timed out"},
            "taken",
            "the last one failed: timed out",
        ),
        ({"state": "cancelled"}, "out of reach", "had already ended"),
        ({"state": "failed", "error": "refused"}, "matches", "failed permanently: refused"),
        (
            {"state": "unknown", "error": "gone"},
            "out of reach",
            "can't be found out whether task wait of flow (w1)",
        ),
    ],
)
def test_what_this_event_did_with_the_task_is_told(
    fields: dict[str, Any], verdict: str, text: str
) -> None:
    found = find(event(), task(state="taken"), context(on_task=(target(**fields),)))
    assert found.verdict == verdict
    assert text in found.reason


def test_a_task_that_another_event_took_is_told() -> None:
    found = find(event(), task(), context(on_task=(target(event_id="e2"),)))
    assert (found.verdict, found.reason) == ("out of reach", "another event took it: e2")


def test_a_workflow_that_started_after_the_event_is_told() -> None:
    late = Workflow("w1", 1, "w1", NOW + MINUTE, None)
    found = find(event(), task(scheduled_at=NOW + 2 * MINUTE), context(workflow=late))
    assert (found.verdict, found.is_near) == ("out of reach", True)
    assert "after the event arrived" in found.reason
    assert "replay" in found.reason
    within_the_skew = Workflow("w1", 1, "w1", NOW + 1500, None)
    assert (
        "started at"
        not in find(
            event(), task(scheduled_at=NOW + 1600), context(workflow=within_the_skew)
        ).reason
    )


def test_a_workflow_that_the_event_started_is_told() -> None:
    own = Workflow("w1", 1, "w1", NOW, "e1#2")
    start = target(kind="start", task_id=None, correlation_id="e1#2")
    found = find(event(), task(scheduled_at=NOW + 1), context(workflow=own, on_event=(start,)))
    assert "itself started" in found.reason


@pytest.mark.parametrize(
    ("one", "other", "context", "verdict", "text"),
    [
        (event(decided_at=None, status="pending"), task(), context(), "matches", "hasn't decided"),
        (
            event(decided_at=None, status="pending"),
            task(),
            context(conductor_error="refused"),
            "matches",
            "Conductor can't be reached: refused",
        ),
        (
            event(hold="held", status="pending"),
            task(scheduled_at=NOW + MINUTE),
            context(workflow=RUNNING),
            "matches",
            "still held",
        ),
        (
            event(hold="held", status="pending"),
            task(scheduled_at=NOW + MINUTE),
            context(),
            "matches",
            "still to be looked up",
        ),
        (
            event(),
            task(scheduled_at=NOW + 30 * MINUTE, waiting_since=NOW - MINUTE),
            context(workflow=RUNNING),
            "matches",
            "in time: the task takes the oldest event that matches",
        ),
        (event(), task(broken="too many paths"), context(), "broken", "never matches: too many"),
        (
            event(hold="held", status="pending"),
            task(scheduled_at=NOW + 30 * MINUTE),
            context(),
            "out of reach",
            "held only until",
        ),
        (event(), task(state="gone"), context(), "out of reach", "no longer waiting"),
        (
            event(),
            task(scheduled_at=NOW + 30 * MINUTE),
            context(),
            "out of reach",
            "held only until",
        ),
        (
            event(hold_until=NOW),
            task(scheduled_at=NOW + MINUTE),
            context(webhook(hold="0s")),
            "out of reach",
            "hold: 0s",
        ),
        (event(), task(), context(), "matches", "before the event, and takes it next"),
        (
            event(joinable_until=None),
            task(adopted_at=NOW + 71 * MINUTE),
            context(),
            "out of reach",
            "too late to be joined; replay the event",
        ),
        (
            event(joinable_until=None),
            task(adopted_at=NOW + MINUTE),
            context(),
            "out of reach",
            "it has been replayed",
        ),
        (
            event(joinable_until=None),
            task(adopted_at=NOW + MINUTE),
            context(
                webhook(starts=[{"workflow": "flow", "unless": "taken"}]),
                on_event=(target(kind="start", task_id=None),),
            ),
            "out of reach",
            "had started flow instead (`unless: taken`)",
        ),
        (
            event(status="delivered"),
            task(scheduled_at=NOW + MINUTE),
            context(on_event=(target(task_id="t2"),), workflow=RUNNING),
            "out of reach",
            "had already been taken",
        ),
        (
            event(status="expired"),
            task(scheduled_at=NOW + MINUTE),
            context(on_event=(target(task_id="t2", state="cancelled"),), workflow=RUNNING),
            "matches",
            "in time",
        ),
    ],
)
def test_what_stood_between_when_all_criteria_hold_is_told(
    one: Event, other: Task, context: Context, verdict: str, text: str
) -> None:
    found = find(one, other, context)
    assert found.verdict == verdict
    assert text in found.reason


# --- sentences ---


@pytest.mark.parametrize(
    ("criterion", "text"),
    [
        (Criterion("$.a", "x", [], False), 'nothing at $.a, expected is "x"'),
        (
            Criterion("$.a", None, [None], False),
            "$.a: null is expected, and that never holds (a ${…} without a value is null)",
        ),
        (
            Criterion("$.a", "x", ["X"], False),
            '$.a is "X", expected is "x" (they differ in case or spaces, which count)',
        ),
        (Criterion("$.a[*]", 1, [2, 3], False), "$.a[*] is 2 and 3, expected is 1"),
        (Criterion("$.a", True, [True], True), "$.a is true, expected is true"),
        (
            Criterion("$.a[*]", 9, list(range(7)), False),
            "$.a[*] is 0 and 1 and 2 and 3 and 4 and 2 more, expected is 9",
        ),
    ],
)
def test_a_criterion_is_told_in_words(criterion: Criterion, text: str) -> None:
    assert describe_criterion(criterion) == text


def test_a_long_value_is_cut() -> None:
    assert shown("x" * 1000).endswith("… (1000 characters)")


# --- an event ---


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"status": "pending", "decided_at": None}, "hasn't decided"),
        ({"status": "pending", "hold": "held"}, "Held until"),
        ({"status": "pending", "hold": "held", "hold_until": NOW - MINUTE}, "Its hold ended"),
        ({"status": "pending", "hold": "recheck"}, "free again"),
        ({"status": "pending", "hold": "unless"}, "unless a task that was waiting takes it"),
        ({"status": "pending", "hold": "aside"}, "will be again at its next try"),
        ({"status": "pending"}, "being called"),
        ({"status": "delivered"}, "Delivered."),
        ({"status": "expired"}, "found late, still takes it."),
        ({"status": "expired", "joinable_until": None}, "no matching task started waiting."),
        ({"status": "ignored"}, "none of its `when` conditions held"),
        ({"status": "failed"}, "refused it permanently"),
    ],
)
def test_every_status_is_told_what_it_means(fields: dict[str, Any], text: str) -> None:
    assert text in " ".join(explain_event(event(**fields), [], context()).meaning)


def test_an_event_that_no_hold_kept_is_told_so() -> None:
    assert "events are not held" in " ".join(
        explain_event(event(), [], context(webhook(hold="0s"))).meaning
    )


def test_that_no_task_of_the_receivers_waits_is_told() -> None:
    found = explain_event(event(), [], context())
    assert found.cause == "No task of its receivers (flow) is known to be waiting."
    assert "BRIDGE_TASK_DOMAINS" in found.remedy
    assert "No task of" not in explain_event(event(), [task()], context()).cause


def test_the_most_harmful_cause_is_said_first_with_its_remedy() -> None:
    """Each cause beside all of those that are less harmful."""
    differs = task({"$.type": "pull"})
    misfit = Misfit(no_workflow("flow"), "did you mean flow_2?", ("hook",), 1)
    undecided = {"status": "pending", "decided_at": None}

    def said(fields: dict[str, Any], *tasks: Task, **known: Any) -> tuple[str, str]:
        found = explain_event(event(**fields), tasks, replace(context(), **known))
        return found.cause, found.remedy

    cause, remedy = said({"status": "expired"}, differs, misfits=[misfit])
    assert cause == "No waiting task took it: the task of flow differs in $.type."
    assert remedy == "Correct the task's matches, or what is sent; then replay the event."
    cause, remedy = said({"status": "expired"}, misfits=[misfit])
    assert (cause, remedy) == (
        "Conductor has no workflow flow, which is among the receivers.",
        "Did you mean flow_2?",
    )
    away: dict[str, Any] = {"misfits": [misfit], "conductor_error": "503", "conductor_since": NOW}
    cause, remedy = said(undecided, **away)
    assert cause == f"Conductor can't be reached (since {iso(NOW)}): 503."
    assert "once Conductor is back" in remedy
    cause, remedy = said(undecided, **away, paused={"hook": NOW})
    assert "has been paused since" in cause
    assert remedy == "To go on: webhook-bridge resume hook"
    error = "404 No such workflow defined. name=on_push"
    failed = target(kind="start", workflow="on_push", state="failed", error=error)
    cause, remedy = said(
        {"status": "failed"}, **away, paused={"hook": NOW}, targets_of={"e1": [failed]}
    )
    assert cause.startswith(f"Starting on_push (w1) failed permanently: {error}.")
    assert remedy == "Fix the cause, then: webhook-bridge events replay e1"


def test_the_nearest_tasks_come_first() -> None:
    tasks = [
        task(id="a", workflow="other"),
        task({"$.type": "pull", "$.x": 1}, id="b"),
        task({"$.type": "push", "$.x": 1}, id="c"),
        task({"$[": 1}, id="d"),
        task(id="e"),
    ]
    found = explain_event(event(hold="held", status="pending"), tasks, context())
    assert [(one.task.id, one.verdict) for one in found.tasks] == [
        ("e", "matches"),
        ("c", "differs"),
        ("b", "differs"),
        ("d", "broken"),
        ("a", "out of reach"),
    ]


@pytest.mark.parametrize(
    ("version", "started", "told"),
    [(1, NOW - 60_000, "only receives version 2"), (2, NOW + 60_000, "after the event arrived")],
)
def test_a_task_whose_criteria_all_hold_comes_before_those_that_differ(
    version: int, started: int, told: str
) -> None:
    """Among the thousand tasks of a webhook's receivers it is the one that is asked about."""
    known = Workflow("w1", version, "w1", started, None)
    tasks = [
        task({"$.type": "pull"}, id="differs", workflow_id="w2"),
        task({"$.type": "pull"}, id="differs too", workflow_id="w1"),
        task({"$.type": "push"}, id="holds", workflow_id="w1", scheduled_at=started),
        task({"$.type": "push"}, id="no receiver's", workflow="other"),
    ]
    first, *_, last = explain_event(
        event(), tasks, context(webhook(receivers={"flow": [2]}), workflow=known)
    ).tasks
    assert (first.task.id, first.verdict) == ("holds", "out of reach")
    assert told in first.reason
    assert last.verdict == "out of reach"


def test_each_start_is_told_with_its_when() -> None:
    hook = webhook(
        starts=[
            {"workflow": "a"},
            {"workflow": "b", "when": {"$.type": "pull"}},
            {"workflow": "c", "when": {"$.type": "push"}},
        ]
    )
    found = explain_event(event(), [], context(hook))
    assert [(start.entry.workflow, start.holds) for start in found.starts] == [
        ("a", True),
        ("b", False),
        ("c", True),
    ]
    assert found.starts[1].reason == '$.type is "push", expected is "pull"'


def inputs(
    *entries: dict[str, Any], hide: Sequence[str] = (), made: tuple[Target, ...] = ()
) -> list[Any]:
    hook = webhook(starts=[{"workflow": "a", **entry} for entry in entries], hide=list(hide))
    payload = {
        "type": "push",
        "who": {"name": "ann", "role": "admin"},
        "items": [{"id": 1, "of": "ann"}],
    }
    return [
        start.input
        for start in explain_event(event(payload), [], context(hook, on_event=made)).starts
    ]


def test_what_a_start_gives_its_workflow_is_told() -> None:
    given = {"kind": "$.type", "by": "$._webhook.headers['x-event']", "n": [1, "$$"]}
    never = {"input": given, "when": {"$.type": "pull"}}
    assert inputs({"input": given}, {}, never) == [
        {"kind": "push", "by": "push", "n": [1, "$"]},
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("$.type", "push"),
        ("$.who.name", "***"),
        ("$.who.name.first", "***"),
        ("$.who", {"name": "***", "role": "admin"}),
        ("$.items[?(@.of=='ann')].id", "***"),
        ("$..name", "***"),
    ],
)
def test_an_input_shows_nothing_hidden_and_nothing_that_depends_on_it(
    path: str, shown: Any
) -> None:
    hide = ["$.who.name", "$.items[*].of"]
    assert inputs({"input": {"x": path}}, hide=hide) == [{"x": shown}]


def test_an_input_is_shown_as_it_was_decided_whatever_the_definition_says_now() -> None:
    made = [
        target(kind="start", workflow="a", task_id=None, correlation_id=f"e1{number}", input=given)
        for number, given in (("", None), ("#2", '{"old": "$.type"}'))
    ]
    new: dict[str, Any] = {"input": {"new": 1}}
    assert inputs(new, new, new, made=tuple(made)) == [None, {"old": "push"}, {"new": 1}]


def test_an_input_too_large_to_be_shown_is_said_to_be() -> None:
    hook = webhook(starts=[{"workflow": "a", "input": {"x": "$.text", "y": "$.text"}}])
    [start] = explain_event(event({"text": "x" * 15_000}), [], context(hook)).starts
    assert (start.input, start.input_text) == ("too large to be shown", "too large to be shown")


# --- a task ---


def test_the_events_that_came_nearest_to_a_task_come_first_then_the_newest() -> None:
    events = [
        event({"a": 1}, id="far", seq=1),
        event({"type": "push", "x": 2}, id="near", seq=2),
        event({"type": "push", "x": 3}, id="nearer", seq=3),
    ]
    found = explain_task(task({"$.type": "push", "$.x": 1}), events, context(), limit=2)
    assert [one.event.id for one in found] == ["nearer", "near"]


@pytest.mark.parametrize(
    ("fields", "targets", "text"),
    [
        ({}, (), "Waiting for an event from hook."),
        (
            {"workflow": "other"},
            (),
            "no webhook has other as a receiver, so no event can reach it. Add `other: any`",
        ),
        ({"broken": "why"}, (), "Broken, so no event completes it: why"),
        ({"state": "completed"}, (target(),), "Completed by event e1."),
        ({"state": "taken"}, (target(state="claimed"),), "Being completed by event e1."),
        ({"state": "gone"}, (), "no longer waiting"),
    ],
)
def test_what_a_tasks_state_means_is_told(
    fields: dict[str, Any], targets: tuple[Target, ...], text: str
) -> None:
    assert text in describe_task(task(**fields), targets, context())


# --- operators ---


@pytest.mark.parametrize(
    ("when", "words"),
    [
        ({"$.size": {"$gt": 10}}, ["$.size is 3, expected is $gt 10"]),
        ({"$.size": {"$in": [1, 3]}}, ["$.size is 3, expected is $in [1, 3]"]),
        ({"$.gone": {"$exists": True}}, ["nothing at $.gone, expected is $exists true"]),
        (
            {"$.size": {"$gt": "1"}},
            [
                '$.size is 3, expected is $gt "1" (only numbers are ordered with numbers, and texts with texts)'
            ],
        ),
        (
            {"$.many[*]": {"$gt": 2, "$lt": 5}},
            [
                "$.many[*] is 1 and 9, expected is $gt 2",
                "$.many[*] is 1 and 9, expected is $lt 5",
                '$.many[*] is 1 and 9, expected is {"$gt": 2, "$lt": 5} '
                "(each holds for a value, but all of them for no single one)",
            ],
        ),
    ],
)
def test_a_start_shows_each_operator_with_the_value_found(
    when: dict[str, Any], words: list[str]
) -> None:
    hook = webhook(starts=[{"workflow": "other", "when": when}])
    found = explain_event(event({"size": 3, "many": [1, 9]}), [], context(hook))
    [start] = found.starts
    assert [describe_criterion(criterion) for criterion in start.criteria] == words
    assert start.holds == all(criterion.holds for criterion in start.criteria)


def test_a_paused_webhook_is_the_reason_before_all_others() -> None:
    waits = event(status="pending", decided_at=None)
    found = explain_event(waits, [], context(paused={"hook": NOW}))
    assert "paused since" in found.cause
    assert "webhook-bridge resume hook" in found.remedy
    assert found.meaning == (), "it is said once"


def test_a_pace_is_named_where_targets_wait_for_their_turn() -> None:
    called = event(status="pending")
    found = explain_event(called, [], context(webhook(pace="50/s")))
    assert "pace of 50/s" in found.meaning[0]


def test_a_skipped_start_names_the_workflow_that_is_there() -> None:
    skipped = target(kind="start", state="skipped", workflow_id="earlier", task_id=None)
    assert (
        describe_target(skipped)
        == "Not started: flow already exists for the same `once.key` (earlier)."
    )


def test_once_and_unless_are_said_beside_a_start() -> None:
    both = webhook(starts=[{"workflow": "flow", "once": {"key": "$.id"}, "unless": "taken"}])
    [start] = explain_event(event(), [], context(both)).starts
    assert "unless a waiting task takes the event" in start.reason
    assert "$.id" in start.reason
