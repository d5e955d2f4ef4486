"""What the entries of `messages` made of an event, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from admin.explain.events import explain_event
from admin.wording.targets import describe_target
from store.one_target import OneTarget
from store.records import Target, TargetState
from tests.admin.explain.test_explain import context, event, target, webhook

ENTRY = {"workflow": "agent", "key": "$.thread"}


def found(
    *entries: dict[str, Any], hide: Sequence[str] = (), **fields: Any
) -> list[tuple[bool, str]]:
    hook = webhook(
        receivers={}, messages=[{**ENTRY, **entry} for entry in entries], hide=list(hide)
    )
    explained = explain_event(event({"thread": "t-1", "n": 1}, **fields), [], context(hook))
    return [(one.holds, one.reason) for one in explained.messages]


def test_a_message_names_its_key_and_what_else_happens() -> None:
    to = "to the running agent whose correlation id is the value at $.thread"
    assert found({}, {"workflow": "b", "else": "ignore"}) == [
        (True, f"{to} (t-1); if none runs, it is started"),
        (True, f"{to.replace('agent', 'b')} (t-1); if none runs, the message is ignored"),
    ]


def test_a_hidden_key_is_not_shown() -> None:
    [(_, reason)] = found({}, hide=["$.thread"])
    assert "t-1" not in reason


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"key": "$.gone"}, "it has no key: there is no value at $.gone"),
        ({"key": "$"}, "it has no key: the value at $ is an object"),
        ({"when": {"$.n": 2}}, "$.n"),
    ],
)
def test_without_a_message_the_reason_is_said(entry: dict[str, Any], reason: str) -> None:
    [(holds, said)] = found(entry)
    assert not holds
    assert reason in said


def test_an_event_gives_a_workflow_one_message_and_a_replay_to_one_target_only_that() -> None:
    assert [holds for holds, _ in found({}, {"key": "$.n"}, {"workflow": "b"})] == [
        True,
        False,
        True,
    ]
    only = OneTarget("message", "b")
    assert [holds for holds, _ in found({}, {"workflow": "b"}, only=only)] == [False, True]


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("queued", "Next in turn: the message to agent waits for earlier messages with its key."),
        ("done", "Delivered the message to agent (w1)."),
        ("skipped", "Not delivered: the message to agent (w1): no workflow."),
        ("failed", "Delivering the message to agent (w1) failed permanently: no workflow."),
    ],
)
def test_what_became_of_a_message_is_said(state: TargetState, words: str) -> None:
    workflow_id = None if state == "queued" else "w1"
    made = target(
        kind="message", workflow="agent", workflow_id=workflow_id, state=state, error="no workflow"
    )
    assert describe_target(made).startswith(words)


def message(state: TargetState, workflow: str = "agent") -> Target:
    return target(kind="message", workflow=workflow, state=state, error="no workflow with its key")


def test_each_way_in_which_messages_went_nowhere_is_said() -> None:
    skipped, cancelled = message("skipped"), message("cancelled", "other")
    hook = webhook(receivers={}, messages=[ENTRY, {**ENTRY, "workflow": "other", "else": "hold"}])
    its_context = context(hook, on_event=(skipped, cancelled))
    meaning = explain_event(event({"thread": "t"}, status="ignored"), [], its_context).meaning
    assert meaning[0] == "Ignored: no workflow got a message, as its targets say."
    assert [line for line in meaning if line.startswith("Target ")] == [
        "Target 1: Not delivered: the message to agent (w1): no workflow with its key.",
        "Target 2: Not delivered: the message to other (w1): no workflow with its key.",
    ]


def test_a_replay_to_one_message_does_not_say_that_it_is_not_there() -> None:
    here = event(status="ignored", only=OneTarget("message", "agent"))
    its_context = context(webhook(receivers={}, messages=[ENTRY]), on_event=(message("skipped"),))
    assert "no workflow got a message" in explain_event(here, [], its_context).meaning[0]
    assert (
        "the only target it may have, isn't there for it"
        in explain_event(here, [], replace(its_context, targets_of={})).meaning[0]
    )
