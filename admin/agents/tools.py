"""The tools: what an assistant can ask of a bridge, and what it may do if it is allowed to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from admin.api import objects
from admin.api.base import as_json
from admin.api.built import webhooks_of, whole_event
from admin.api.objects import Replay
from admin.api.rejections import Rejection
from admin.bridge import Bridge, os_user
from admin.check.health import find_issues, state_of
from admin.errors import NotFound
from admin.events.filters import check_webhook, parts_of, search_of
from admin.events.replay import replay
from admin.events.send import for_relay, post, wait_of
from admin.explain.explainer import Explainer
from criteria.suggestions import did_you_mean
from platforms.guide import samples
from store.records import Change, EventStatus, Waiting

Allowed = Literal["send", "replay"]
"""What has to be allowed expressly."""
_EVENT = "The event's id: its first eight or more characters are enough, and `last` is the newest event."


class Arguments(BaseModel):
    """The arguments of a tool. Anything else is an error, so that a misspelt filter isn't ignored."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Nothing(Arguments):
    """No arguments."""


class ListEvents(Arguments):
    webhook: str | None = Field(None, description="Only events of this webhook (see list_webhooks).")
    status: EventStatus | Waiting | Literal["unresolved", "resolved"] | None = Field(
        None,
        description="pending: held for a task, or waiting for Conductor; delivered; expired: no task took it in time; "
        "ignored: it only starts workflows and no condition held; failed: Conductor refused it permanently. Of the "
        "pending ones: held: for a task; paused: with their webhook; retrying: their calls; quarantined. unresolved: "
        "failed, neither acknowledged nor resolved; resolved: by a replay.",
    )
    type: str | None = Field(None, description="Only events of this type, or of types that begin like `invoice.*`.")
    text: str | None = Field(None, description="Only events with this text in their id, delivery id or payload.")
    where: list[str] | None = Field(None, description="Only events for which all of these hold: `$.path=value`.")
    since: str | None = Field(None, description="Only events of this time or later: `2h` ago, or ISO 8601 in UTC.")
    until: str | None = Field(None, description="Only events before this time.")
    before: str | None = Field(None, description="Only events that arrived before the one with this id, for paging.")
    limit: Annotated[int, Field(ge=1, le=100)] = 20


class OneEvent(Arguments):
    event_id: str = Field(description=_EVENT)


class ExplainEvent(OneEvent):
    limit: Annotated[int, Field(ge=1, le=100)] = Field(20, description="How many tasks, the closest first.")


class ListTasks(Arguments):
    workflow: str | None = Field(None, description="Only tasks of workflows with this name.")
    after: str = Field("", description="Only tasks after this task id, for paging.")
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class OneTask(Arguments):
    task_id: str = Field(description="The task's id in Conductor, as list_tasks gives it.")
    limit: Annotated[int, Field(ge=1, le=50)] = Field(10, description="How many events, the closest first.")


class ListRejections(Arguments):
    webhook: str | None = Field(None, description="Only deliveries to this webhook.")
    filtered: bool = Field(False, description="True: those that the webhook's `only` filtered out, instead.")
    limit: Annotated[int, Field(ge=1, le=100)] = 20


@dataclass(frozen=True)
class Tool:
    """A tool."""

    name: str
    description: str
    arguments: type[BaseModel]
    run: Callable[[Bridge, Any], Any]
    """Returns what can be written as JSON. Raises the errors of `admin.bridge` and the store."""
    needs: Allowed | None = None
    """What has to be allowed; None: it only reads."""


def _list_events(bridge: Bridge, given: ListEvents) -> Any:
    before = bridge.event_meant(given.before).seq if given.before else None
    parts = parts_of(given.model_dump())
    found = bridge.events(replace(search_of(bridge, parts), before_seq=before, limit=given.limit))
    targets = bridge.targets_by_event(found)
    return as_json([objects.Event.of(event, targets=targets[event.id]) for event in found])


def _show_event(bridge: Bridge, given: OneEvent) -> Any:
    return as_json(whole_event(bridge, bridge.event_meant(given.event_id)))


def _explain_event(bridge: Bridge, given: ExplainEvent) -> Any:
    event = bridge.event_meant(given.event_id)
    return as_json(objects.why(Explainer(bridge).event(event, given.limit)))


def _list_tasks(bridge: Bridge, given: ListTasks) -> Any:
    found = bridge.store.queries.waiting_tasks(given.after, given.limit, given.workflow)
    return as_json(list(map(objects.Task.of, found)))


def _explain_task(bridge: Bridge, given: OneTask) -> Any:
    task = bridge.task(given.task_id)
    return as_json(objects.whole_task(task, Explainer(bridge).task(task, given.limit)))


def _list_webhooks(bridge: Bridge, _: Nothing) -> Any:
    return [
        {
            **as_json(shown),
            "receivers": sorted(webhook.receivers),
            "starts": sorted({start.workflow for start in webhook.starts}),
            "messages": sorted({message.workflow for message in webhook.messages}),
        }
        for shown, webhook in zip(webhooks_of(bridge), bridge.definitions.webhooks, strict=True)
    ]


def _check(bridge: Bridge, _: Nothing) -> Any:
    state = state_of(bridge, bridge.store.now())
    definitions = [*bridge.definitions.errors, *bridge.definitions.warnings]
    return {
        "issues": as_json([objects.Issue.of(issue) for issue in find_issues(state)]),
        "definitions": as_json(list(map(objects.problem, definitions))),
        "conductor": state.facts.get("conductor"),
    }


def _list_rejections(bridge: Bridge, given: ListRejections) -> Any:
    check_webhook(bridge, given.webhook)
    found = bridge.store.queries.rejections(given.webhook, given.limit, given.filtered)
    return as_json(list(map(Rejection.of, found)))


class SendSample(Arguments):
    """A sample to send."""

    webhook: str = Field(description="The webhook's name (see list_webhooks).")
    sample: str | None = Field(None, description="The sample's name; without it, the samples are listed.")


class ReplayEvent(OneEvent):
    """An event to replay."""

    event_id: str = Field(description="The event's whole id.")
    confirm: bool = Field(
        False, description="Needed if the event had an effect, which the refusal names; ask the user first."
    )


def send_sample(bridge: Bridge, given: SendSample) -> Any:
    """Raises NotFound, CannotSign, NotReachable."""
    webhook = bridge.definitions.by_name.get(given.webhook)
    if webhook is None:
        raise NotFound(f"no webhook {given.webhook}: {did_you_mean(given.webhook, sorted(bridge.definitions.by_name))}")
    found = samples(webhook.platform)
    if given.sample is None:
        return {"samples": sorted(found)}
    if given.sample not in found:
        raise NotFound(
            f"{webhook.platform} has no sample {given.sample}; there are: {', '.join(sorted(found)) or 'none'}"
        )
    sample = found[given.sample].made_anew()
    headers = {"Content-Type": sample.content_type, **sample.headers}
    answer = post(*for_relay(webhook, bridge.settings, sample.body, headers), wait_of(webhook))
    _record(bridge, "tested", webhook.name, f"sample {given.sample}: {answer.status}")
    return {
        "status": answer.status,
        "accepted": answer.is_good,
        "duplicate": answer.is_duplicate,
        "answer": answer.said,
    }


def replay_event(bridge: Bridge, given: ReplayEvent) -> Any:
    """Raises NotFound, CantReplay, NeedsConfirmation."""
    event = bridge.event_meant(given.event_id)
    new_id = replay(bridge, event.id, confirmed=given.confirm)
    _record(bridge, "replayed", event.webhook, f"event {event.id}, as {new_id}")
    return as_json(Replay(event_id=new_id, replay_of=event.id))


def _record(bridge: Bridge, what: str, webhook: str, detail: str) -> None:
    bridge.store.changes.record(Change(bridge.store.now(), f"assistant of {os_user()}", what, webhook, detail))


TOOLS: Sequence[Tool] = (
    Tool(
        "check",
        "Start here. What is wrong right now, worst first, and every problem in the webhook definitions with file, "
        "line and remedy.",
        Nothing,
        _check,
    ),
    Tool(
        "list_webhooks",
        "The webhooks: URL, platform, whether verified or paused, deliveries of the last day by outcome, and the "
        "workflows that each may resume (receivers) or start.",
        Nothing,
        _list_webhooks,
    ),
    Tool(
        "list_events",
        "Accepted deliveries, newest first, with what they completed or started; without payloads (see show_event). To "
        "find why a workflow didn't continue: list the webhook's events; if there is none, see list_rejections; else "
        "explain_event.",
        ListEvents,
        _list_events,
    ),
    Tool(
        "show_event",
        "One event: payload, headers, status and what it means, targets with their attempts and errors.",
        OneEvent,
        _show_event,
    ),
    Tool(
        "explain_event",
        "Why an event did or didn't match each waiting task: criterion by criterion, with the value found. Values that "
        "the definition hides are ***.",
        ExplainEvent,
        _explain_event,
    ),
    Tool(
        "list_tasks",
        "WAIT_FOR_WEBHOOK tasks that wait in Conductor, with their `matches`: JSONPath into the payload → expected "
        "value.",
        ListTasks,
        _list_tasks,
    ),
    Tool(
        "explain_task",
        "Why a task is still waiting: the recent events that came closest to it, and what each lacked.",
        OneTask,
        _explain_task,
    ),
    Tool(
        "list_rejections",
        "Rejected deliveries with the reason that their senders aren't told, such as a signature that doesn't match.",
        ListRejections,
        _list_rejections,
    ),
    Tool(
        "send_sample",
        "Sends a realistic sample event of the webhook's platform to the bridge, signed as the platform would. It is "
        "accepted like any delivery: it may resume or start workflows. Without `sample` it lists the samples.",
        SendSample,
        send_sample,
        needs="send",
    ),
    Tool(
        "replay_event",
        "Delivers an event again, as a new one that arrives now: it may resume or start workflows once more.",
        ReplayEvent,
        replay_event,
        needs="replay",
    ),
)
