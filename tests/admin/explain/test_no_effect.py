"""What people can do about a callback that came to nothing: only what can work."""

from __future__ import annotations

from typing import Any

from admin.explain.events import explain_event
from admin.explain.explainer import describe_task
from config.webhooks import Definitions
from store.one_target import STILL_TO_COME, callback_to
from store.records import Target
from tests.admin.explain.test_explain import context, event, target, task, webhook

PLACE = callback_to("w1", "approve")
HOOK = webhook(callback={"secret": "0123456789abcdef"}, verifier=None)


def meaning(*targets: Target, **fields: Any) -> str:
    return " ".join(
        explain_event(event(only=PLACE, **fields), [], context(HOOK, on_event=targets)).meaning
    )


def completion(**fields: Any) -> Target:
    return target(
        kind="complete", task_id=None, workflow_id="w1", reference_name="approve", **fields
    )


def test_a_task_that_has_ended_is_run_again_before_a_replay() -> None:
    said = meaning(
        completion(state="cancelled", error="the task has ended without this event"),
        status="expired",
    )
    assert "so a replay alone finds nothing to complete" in said
    assert "have Conductor run the task again" in said
    assert "the task has ended without this event" in said


def test_a_task_that_never_came_may_still_get_it_by_a_replay() -> None:
    said = meaning(completion(state="cancelled", error=STILL_TO_COME), status="expired")
    assert "didn't start waiting until" in said
    assert "replay the event" in said


def test_a_task_that_only_callbacks_complete_needs_no_matches() -> None:
    assert Definitions((HOOK,)).for_callbacks_only == ["flow"]
    assert Definitions((HOOK, webhook())).for_callbacks_only == []
    assert describe_task(task(broken="why"), (), context(HOOK)) == "Waiting for an event from hook."
