"""What people, programs and assistants ask of a bridge: each once, with what it takes and returns
as types."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import Field

from admin.api import objects
from admin.api.objects import (
    ListedEvent,
    Rejection,
    Replay,
    ReplayTo,
    Task,
    Tried,
    TriedEvent,
    Webhook,
    WholeEvent,
    WholeTask,
    WholeWebhook,
    Why,
)
from admin.api_object import ApiObject, Time
from admin.bridge import DAY, Bridge
from admin.definitions.writer import DefinitionsFolder
from admin.errors import BadRequest, CantDo
from admin.events.filters import check_webhook
from admin.events.replay import replay
from admin.explain.explainer import Explainer
from admin.explain.trials import Kind, Trier, read_line, try_newest, written
from admin.search import BadFilter, Search, split_condition
from admin.setup_steps import as_text, how_to_try, setup_steps
from admin.urls import base_url_of, url_of
from admin.wording.statuses import (
    EventTargets,
    describe_effects,
    describe_status,
    status_context,
)
from config.callbacks import check_expires
from config.quantities import Duration
from platforms.guide import guides
from relay.callbacks.tokens import Address, NoSuchTask, make_token
from store.hiding import masked_target
from store.one_target import names_of
from store.records import Event

_TASKS_READ = 50
"""Tasks that an event is compared with, to say what its status means."""
_AGAIN = 0.5
"""Seconds between two looks whether an event is over."""


# --- webhooks


def list_webhooks(bridge: Bridge) -> list[Webhook]:
    """The webhooks in the order of their definitions. Raises StoreUnavailable."""
    verified, paused = bridge.verified_at(), bridge.store.pauses.paused()
    counts = bridge.store.queries.delivery_counts(bridge.store.now() - DAY)
    return [
        Webhook.of(
            webhook,
            url=url_of(webhook, bridge.settings),
            verified_at=verified.get(name),
            paused_at=paused.get(name),
            deliveries_last_day=counts.get(name, {}),
            receivers=sorted(webhook.receivers),
            starts=sorted({start.workflow for start in webhook.starts}),
            messages=sorted({message.workflow for message in webhook.messages}),
        )
        for name, webhook in bridge.definitions.by_name.items()
    ]


def show_webhook(bridge: Bridge, name: str, with_definition: bool = True) -> WholeWebhook:
    """One webhook, with what to enter at its platform, and its definition without secrets.

    `with_definition`: whether that may be seen: an admin's comments are in it. Raises NotFound,
    StoreUnavailable.
    """
    webhook, errors = bridge.webhook(name), bridge.definitions.errors
    url = url_of(webhook, bridge.settings)
    written = None
    if with_definition and not errors:
        written = DefinitionsFolder(bridge.settings.bridge_webhooks).find(name)
    return WholeWebhook.of(
        webhook,
        url=url,
        verified_at=bridge.verified_at()[name],
        paused_at=bridge.store.pauses.paused().get(name),
        setup=as_text(setup_steps(webhook, guides()[webhook.platform])),
        how_to_try=how_to_try(webhook, url),
        errors=[str(problem) for problem in errors if problem.webhook == name],
        definition=None if written is None else written.shown,
    )


def record_webhook(
    bridge: Bridge, what: Literal["created", "deleted"], name: str, detail: str = ""
) -> None:
    """Records that a webhook was made or deleted, and forgets what clients of Orkes' API had said
    of one of this name.

    Raises StoreUnavailable.
    """
    bridge.record(what, name, detail)
    bridge.store.orkes_clients.forget(name)


def pause(bridge: Bridge, name: str) -> None:
    """Lets the webhook accept deliveries of which none is decided. Raises NotFound,
    StoreUnavailable."""
    bridge.store.pauses.pause(bridge.webhook(name).name, bridge.store.now())
    bridge.record("paused", name)


def resume(bridge: Bridge, name: str) -> bool:
    """Whether the webhook was paused; its definition may be gone. Raises StoreUnavailable."""
    was_paused = bridge.store.pauses.resume(name)
    if was_paused:
        bridge.record("resumed", name)
    return was_paused


# --- events


@dataclass(frozen=True)
class EventList:
    """Events of a list, newest first."""

    events: list[ListedEvent]
    older: str | None
    """The event before which the list goes on; None at its end."""
    searched_to: Event | None
    """The event back to which they were searched for, if the search ended before the list was
    full."""


def list_events(bridge: Bridge, search: Search, limit: int, before: str | None = None) -> EventList:
    """`before`: the event that all of them arrived before. Raises NotFound, StoreUnavailable."""
    before_seq = bridge.event_meant(before).seq if before else None
    page = bridge.page(replace(search, before_seq=before_seq, limit=limit))
    events = listed(bridge, page.events)
    if len(events) == limit:
        return EventList(events, events[-1].event_id, None)
    return EventList(events, page.searched_to.id if page.searched_to else None, page.searched_to)


def listed(bridge: Bridge, found: Sequence[Event]) -> list[ListedEvent]:
    """The events as a list shows them. Raises StoreUnavailable."""
    targets = bridge.targets_by_event(found)
    context = status_context(bridge.store, found, targets)
    return [
        ListedEvent.of(
            event,
            targets=targets[event.id],
            status_in_words=describe_status(event, targets[event.id], context),
            effects=describe_effects(targets[event.id]),
        )
        for event in found
    ]


def show_event(bridge: Bridge, event: Event) -> WholeEvent:
    """The event as people may see it. Raises StoreUnavailable."""
    hide = bridge.hide(event.webhook)
    targets = [masked_target(one, hide) for one in bridge.store.queries.targets_of([event.id])]
    explained = Explainer(bridge).event(event, _TASKS_READ, EventTargets(targets))
    shown = bridge.shown(event)
    try:
        payload = json.loads(shown.payload)
    except ValueError:  # `explained` says that it can't be read
        payload = {}
    held_until = shown.hold_until if shown.hold not in ("no", "unless") else None
    only = str(shown.only) if shown.only is not None else None
    given = {"targets": targets, "held_until": held_until, "payload": payload, "only_target": only}
    return WholeEvent.of(shown, explained, **given)


def explain_event(bridge: Bridge, event_id: str, limit: int) -> Why:
    """Why the event did or didn't match each waiting task, the closest `limit` first. Raises
    NotFound."""
    found = Explainer(bridge).event(bridge.event_meant(event_id), limit)
    return objects.why(replace(found, event=bridge.in_list(found.event)))


def replay_event(bridge: Bridge, event_id: str, asked: ReplayTo) -> Replay:
    """Adds the event once more. Raises NotFound, CantReplay, NeedsConfirmation, StoreUnavailable."""
    event = bridge.event_meant(event_id)
    new_id = replay(bridge, event.id, asked.target, asked.confirm)
    which = f"event {event.id}" + (f", target {asked.target}" if asked.target is not None else "")
    bridge.record("replayed", event.webhook, f"{which}, as {new_id}")
    return Replay(event_id=new_id, replay_of=event.id)


def erase_event(bridge: Bridge, event_id: str, patience: float = 0.0) -> str:
    """Erases payload, headers and answers of an event; ids, times and targets stay. Returns its
    whole id.

    While a call for it is in flight, waits for its end, `patience` seconds at most. Raises
    NotFound, CantDo, StoreUnavailable.
    """
    event, until = bridge.event_meant(event_id), time.monotonic() + patience
    while not bridge.store.erasures.erase(event.id):
        if time.monotonic() >= until:
            raise CantDo(
                f"event {event.id} is still pending: its workflows need its payload. Try again once"
                " it is over, or remove what it waits for: its hold, or its webhook"
            )
        time.sleep(_AGAIN)
    bridge.record("erased", event.webhook, f"event {event.id}")
    return event.id


def try_criteria(bridge: Bridge, name: str, kind: Kind, given: Sequence[str]) -> Tried:
    """Which of the webhook's newest events criteria would have fitted; `given`: ``$.path=value``,
    of `once` a path.

    Raises NotFound, BadRequest, BadFilter, StoreUnavailable.
    """
    hide = bridge.hide(bridge.webhook(name).name)
    if kind == "once" and len(given) != 1:
        raise BadFilter("once has one key: give one JSONPATH")
    pairs = [(text, "") if kind == "once" else split_condition(text) for text in given]
    lines = [read_line(path, value, kind, hide) for path, value in pairs]
    for line in lines:
        if line.problem is not None:
            raise BadRequest(f"{line.path}: {line.problem}")
    trier = Trier(kind, lines)
    found = try_newest(bridge, name, trier)
    return Tried.of(
        found,
        events=[TriedEvent.of(one, one.event, failed=list(one.failed)) for one in found.tried],
        written=written(kind, trier.criteria).rstrip(),
    )


# --- tasks and rejections


def list_tasks(
    bridge: Bridge, workflow: str | None, limit: int, after: str = "", broken: bool = False
) -> list[Task]:
    """Waiting tasks, of this workflow or of all, ordered by id. `broken`: only those that no event
    can take, which have no `after`. Raises StoreUnavailable."""
    if broken:
        return list(map(Task.of, bridge.broken_tasks(limit, workflow)))
    return list(map(Task.of, bridge.store.queries.waiting_tasks(after, limit, workflow)))


def forget_tasks(bridge: Bridge, task_ids: Sequence[str]) -> list[str]:
    """The tasks no longer wait; returns those that did. Raises StoreUnavailable."""
    forgotten = bridge.store.tasks.forget(task_ids, bridge.store.now())
    for task_id in forgotten:
        bridge.record("forgot", "", f"task {task_id}")
    return forgotten


def show_task(bridge: Bridge, task_id: str, limit: int) -> WholeTask:
    """The task with the recent events that came closest to it. Raises NotFound, StoreUnavailable."""
    task = bridge.task(task_id)
    return objects.whole_task(task, Explainer(bridge).task(task, limit))


def list_rejections(
    bridge: Bridge, webhook: str | None, limit: int, filtered: bool = False
) -> list[Rejection]:
    """The newest deliveries that were rejected, or that `only` filtered out. Raises NotFound,
    StoreUnavailable."""
    check_webhook(bridge, webhook)
    return list(map(Rejection.of, bridge.store.without_events.rejections(webhook, limit, filtered)))


# --- URLs for one task


class ToCallBack(ApiObject):
    """Which task a URL is to complete."""

    webhook: str = Field(description="a webhook with `callback`")
    workflow_id: str = Field(description="as in ${workflow.workflowId}")
    task: str = Field(description="the task's reference name")
    iteration: int | None = Field(
        None, ge=1, description="of a task in a loop, from 1; any will do without it"
    )
    expires: Duration | None = Field(
        None, description="how long it can be used, such as 2h; by default as defined"
    )


class Callback(ApiObject):
    """A URL that completes one task, once."""

    url: str
    expires_at: Time


def make_callback(bridge: Bridge, asked: ToCallBack) -> Callback:
    """The URL that completes this task. Nobody asks Conductor whether there is such a task: it may
    be to come.

    Raises NotFound, BadRequest, StoreUnavailable.
    """
    webhook, task = bridge.webhook(asked.webhook), asked.task
    callback = webhook.callback
    if callback is None:
        raise BadRequest(
            f"{webhook.name} has no `callback`; add callback: {{secret: ${{NAME}}}} to its"
            " definition"
        )
    try:
        address = Address.of(asked.workflow_id, task, asked.iteration)
        seconds = callback.expires if asked.expires is None else check_expires(asked.expires)
    except NoSuchTask as error:
        raise BadRequest(str(error)) from None
    except ValueError as error:
        raise BadRequest(f"how long it can be used is {error}") from None
    if callback.tasks and not set(callback.tasks).intersection(names_of(address.reference_name)):
        raise BadRequest(
            f"{webhook.name} completes only {', '.join(callback.tasks)}; add {task} to"
            " callback.tasks"
        )
    base = base_url_of(webhook, bridge.settings)
    if callback.secret is None:
        raise BadRequest(
            f"{webhook.name} says `by: id`, so the workflow makes its URLs itself: "
            f"{base}/${{workflow.workflowId}}/{task}"
        )
    now = bridge.store.now()
    expires_at = int(now / 1000 + seconds)
    token = make_token(
        webhook.name, callback.secret[0].get_secret_value(), address, expires_at, now
    )
    return Callback(url=f"{base}/{token}", expires_at=expires_at * 1000)
