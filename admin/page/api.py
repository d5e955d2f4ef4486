"""What the page shows, as JSON, described at /api/openapi.json."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, get_args

from flask import Blueprint, abort, jsonify, url_for

from admin.api import objects
from admin.api.built import Failures, ListedEvent, event_in_list, webhooks_of, whole_event
from admin.api.openapi import API, Description, answers
from admin.api.queries import Most, MostEvents, OfEvents, OfRejections, OfTasks, OfWebhook
from admin.api.rejections import Rejection
from admin.callbacks import Callback, ToCallBack, callback_url
from admin.check.health import find_issues, state_of
from admin.events.descriptions import status_context
from admin.events.erase import erase
from admin.events.failures import failures as failures_of
from admin.events.filters import check_webhook, parts_of, search_of
from admin.events.replay import replay as replay_event
from admin.explain.explainer import Explainer
from admin.page.context import changed
from admin.page.pages import bridge
from config.durations import parse_duration
from store.records import EventStatus, iso

blueprint = Blueprint("api", __name__, url_prefix="/api")


@blueprint.get("/openapi.json")
@answers(Description)
def openapi() -> Any:
    """This description"""
    return jsonify(API.spec)


@blueprint.get("/overview")
@answers(objects.Overview)
def overview() -> Any:
    """What is wrong right now, and counts"""
    here = bridge()
    state = state_of(here, int(time.time() * 1000))
    return objects.Overview(
        problems=[objects.Issue.of(issue) for issue in find_issues(state)],
        events=objects.EventCounts.model_validate(dict.fromkeys(get_args(EventStatus), 0) | dict(state.counts)),
        unresolved=state.unresolved,
        oldest_pending_at=state.oldest_pending,
        waiting_tasks=sum(state.waiting.values()),
        conductor=state.facts.get("conductor"),
        discovery=state.facts.get("discovery"),
    )


@blueprint.get("/webhooks")
@answers(list[objects.Webhook])
def webhooks() -> Any:
    """The webhooks"""
    return webhooks_of(bridge())


@blueprint.post("/webhooks/<name>/pause")
@answers(list[objects.Webhook], 404)
def pause(name: str) -> Any:
    """Pause a webhook: deliveries are accepted, and nothing is decided until it is resumed"""
    here = bridge()
    here.store.pauses.pause(here.webhook(name).name, here.store.now())
    changed("paused", name)
    return webhooks_of(here)


@blueprint.post("/webhooks/<name>/resume")
@answers(list[objects.Webhook], 404)
def resume(name: str) -> Any:
    """Resume a paused webhook"""
    here = bridge()
    if here.store.pauses.resume(name):
        changed("resumed", name)
    return webhooks_of(here)


@blueprint.get("/events")
@answers(list[ListedEvent], 404, query=OfEvents)
def events(query: OfEvents) -> Any:
    """Events, newest first

    The header Link names the next page; Searched-Since says how far back was searched, if not to the end.
    """
    here = bridge()
    filters = parts_of(query.model_dump())
    search, limit, before = search_of(here, filters), query.limit, query.before
    page = here.page(replace(search, before_seq=here.event(before).seq if before else None, limit=limit))
    shown = here.summarized(page.events)
    targets = here.targets_by_event(shown)
    context = status_context(here, shown, targets)
    headers = {}
    older = shown[-1].id if len(shown) == limit else page.searched_to.id if page.searched_to else None
    if older is not None:
        link = url_for(".events", **filters, limit=limit, before=older)  # type: ignore[arg-type]
        headers["Link"] = f'<{link}>; rel="next"'
    if page.searched_to is not None and len(shown) < limit:
        headers["Searched-Since"] = str(iso(page.searched_to.received_at))
    return [event_in_list(event, targets[event.id], context) for event in shown], headers


@blueprint.get("/failures")
@answers(Failures, 404, query=OfWebhook)
def failures(query: OfWebhook) -> Any:
    """Unresolved failed events, grouped by webhook and reason: the newest 5,000 of them"""
    check_webhook(bridge(), query.webhook)
    return Failures.of(failures_of(bridge(), query.webhook))


@blueprint.get("/events/<event_id>")
@answers(objects.WholeEvent, 404)
def event(event_id: str) -> Any:
    """One event with its payload"""
    return whole_event(bridge(), bridge().event_meant(event_id))


@blueprint.get("/events/<event_id>/why")
@answers(objects.Why, 404, query=Most)
def why(event_id: str, query: Most) -> Any:
    """Why an event did or didn't match each waiting task"""
    here = bridge()
    return objects.why(Explainer(here).event(here.event_meant(event_id), query.limit))


@blueprint.post("/events/<event_id>/replay")
@answers(objects.Replay, 404, 409, status=201)
def replay(event_id: str, json: objects.ReplayTo) -> Any:
    """Deliver an event again, as a new event that arrives now"""
    here = bridge()
    event = here.event_meant(event_id)
    new_id = replay_event(here, event.id, json.target, json.confirm)
    which = f"event {event.id}" + (f", target {json.target}" if json.target is not None else "")
    changed("replayed", event.webhook, f"{which}, as {new_id}")
    return objects.Replay(event_id=new_id, replay_of=event.id), 201


@blueprint.post("/events/<event_id>/erase")
@answers(objects.WholeEvent, 404, 409)
def erase_event(event_id: str) -> Any:
    """Erase what an event carried: payload, headers and answers; its row, ids, times and targets stay"""
    here = bridge()
    event = here.event_meant(event_id)
    erase(here, event.id)
    changed("erased", event.webhook, f"event {event.id}")
    return whole_event(here, here.event(event.id))


@blueprint.get("/tasks")
@answers(list[objects.Task], query=OfTasks)
def tasks(query: OfTasks) -> Any:
    """Waiting tasks, ordered by id"""
    return list(map(objects.Task.of, bridge().store.queries.waiting_tasks(query.after, query.limit, query.workflow)))


@blueprint.get("/tasks/<task_id>")
@answers(objects.WholeTask, 404, query=MostEvents)
def task(task_id: str, query: MostEvents) -> Any:
    """One task, with the recent events that came closest to it"""
    here = bridge()
    found = here.task(task_id)
    return objects.whole_task(found, Explainer(here).task(found, query.limit))


@blueprint.get("/rejections")
@answers(list[Rejection], 404, query=OfRejections)
def rejections(query: OfRejections) -> Any:
    """The newest rejected deliveries, or the newest that `only` filtered out"""
    check_webhook(bridge(), query.webhook)
    found = bridge().store.queries.rejections(query.webhook, query.limit, filtered=query.filtered)
    return list(map(Rejection.of, found))


@blueprint.post("/callbacks")
@answers(Callback, 404, status=201)
def make_callback(json: ToCallBack) -> Any:
    """Make a URL that completes one task, once; only with BRIDGE_ADMIN_TOKEN"""
    here, asked = bridge(), json
    check_webhook(here, asked.webhook)
    webhook = here.definitions.by_name.get(asked.webhook)
    if webhook is None:
        abort(404, f"the webhook {asked.webhook} is no longer defined")
    try:
        seconds = None if asked.expires is None else parse_duration(asked.expires)
    except ValueError as error:
        abort(400, f"expires: {error}")
    made = callback_url(
        webhook, here.settings, here.store.now(), asked.workflow_id, asked.task, asked.iteration, seconds
    )
    return Callback.of(made), 201
