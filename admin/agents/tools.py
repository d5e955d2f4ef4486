"""The tools: what an assistant can ask of a bridge, and what it may do if it is allowed to.

A tool is a function of the bridge and its typed arguments: its docstring is the assistant's
description of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from admin import operations
from admin.api import objects
from admin.api.objects import Rejection
from admin.api.queries import OfEvents, OfRejections, OfTasks, limited
from admin.api_object import NoQuery
from admin.bridge import Bridge
from admin.check.health import find_issues, state_of
from admin.events.deliveries import of_sample
from admin.events.event_or_sample import find_sample
from admin.events.filters import parts_of, search_of
from admin.events.send import for_relay, post
from platforms.guide import samples

Allowed = Literal["send", "replay"]
"""What has to be allowed expressly."""


class ListEvents(OfEvents):
    limit: int = limited(20)


class Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")


class OneEvent(Arguments):
    event_id: str = Field(
        description=(
            "The event's id: its first eight or more characters are enough, and `last` is the"
            " newest event."
        )
    )


class ExplainEvent(OneEvent):
    limit: int = limited(20)


class OneTask(Arguments):
    task_id: str = Field(description="The task's id in Conductor, as list_tasks gives it.")
    limit: int = limited(10)


class SendSample(Arguments):
    webhook: str = Field(description="The webhook's name (see list_webhooks).")
    sample: str | None = Field(
        None, description="The sample's name; without it, the samples are listed."
    )


class ReplayEvent(OneEvent):
    confirm: bool = Field(
        False,
        description=(
            "Needed if the event had an effect, which the refusal names; ask the user first."
        ),
    )


def check(bridge: Bridge, _: NoQuery) -> dict[str, Any]:
    """Start here. What is wrong right now, worst first, and every problem in the webhook
    definitions with file, line and remedy."""
    state = state_of(bridge)
    return {
        "issues": [objects.Issue.of(issue) for issue in find_issues(state)],
        "definitions": list(
            map(objects.problem, [*bridge.definitions.errors, *bridge.definitions.warnings])
        ),
        "conductor": state.reports.conductor,
    }


def list_webhooks(bridge: Bridge, _: NoQuery) -> list[objects.Webhook]:
    """The webhooks: URL, platform, whether verified or paused, deliveries of the last day by
    outcome, and the workflows that each may resume (receivers) or start."""
    return operations.list_webhooks(bridge)


def list_events(bridge: Bridge, given: ListEvents) -> list[objects.ListedEvent]:
    """Accepted deliveries, newest first, with what they completed or started; without payloads (see
    show_event). To find why a workflow didn't continue: list the webhook's events; if there is
    none, see list_rejections; else explain_event. An event is pending: held for a task, or waiting
    for Conductor; delivered; expired: no task took it in time; ignored: it only starts workflows
    and no condition held; failed: Conductor refused it permanently."""
    search = search_of(bridge, parts_of(given.model_dump()))
    return operations.list_events(bridge, search, given.limit, given.before).events


def show_event(bridge: Bridge, given: OneEvent) -> objects.WholeEvent:
    """One event: payload, headers, status and what it means, targets with their attempts and
    errors."""
    return operations.show_event(bridge, bridge.event_meant(given.event_id))


def explain_event(bridge: Bridge, given: ExplainEvent) -> objects.Why:
    """Why an event did or didn't match each waiting task, the closest first: criterion by
    criterion, with the value found. Values that the definition hides are ***."""
    return operations.explain_event(bridge, given.event_id, given.limit)


def list_tasks(bridge: Bridge, given: OfTasks) -> list[objects.Task]:
    """WAIT_FOR_WEBHOOK tasks that wait in Conductor, with their `matches`: JSONPath into the
    payload → expected value."""
    return operations.list_tasks(bridge, given.workflow, given.limit, given.after)


def explain_task(bridge: Bridge, given: OneTask) -> objects.WholeTask:
    """Why a task is still waiting: the recent events that came closest to it, and what each
    lacked."""
    return operations.show_task(bridge, given.task_id, given.limit)


def list_rejections(bridge: Bridge, given: OfRejections) -> list[Rejection]:
    """Rejected deliveries with the reason that their senders aren't told, such as a signature that
    doesn't match."""
    return operations.list_rejections(bridge, given.webhook, given.limit, given.filtered)


def send_sample(bridge: Bridge, given: SendSample) -> dict[str, Any]:
    """Sends a realistic sample event of the webhook's platform to the bridge, signed as the
    platform would. It is accepted like any delivery: it may resume or start workflows. Without
    `sample` it lists the samples."""
    webhook = bridge.webhook(given.webhook)
    if given.sample is None:
        return {"samples": sorted(samples(webhook.platform))}
    delivery = of_sample(webhook, find_sample(webhook, given.sample))
    answer = post(*for_relay(webhook, bridge.settings, delivery))
    bridge.record("tested", webhook.name, f"sample {given.sample}: {answer.status}")
    return {
        "status": answer.status,
        "accepted": answer.is_good,
        "duplicate": answer.is_duplicate,
        "answer": answer.said,
    }


def replay_event(bridge: Bridge, given: ReplayEvent) -> objects.Replay:
    """Delivers an event again, as a new one that arrives now: it may resume or start workflows once
    more."""
    return operations.replay_event(bridge, given.event_id, objects.ReplayTo(confirm=given.confirm))


TOOLS: Mapping[Callable[[Bridge, Any], Any], Allowed | None] = {
    check: None,
    list_webhooks: None,
    list_events: None,
    show_event: None,
    explain_event: None,
    list_tasks: None,
    explain_task: None,
    list_rejections: None,
    send_sample: "send",
    replay_event: "replay",
}
"""Tool → what has to be allowed for it; None: it only reads."""
