"""What the page shows, as JSON, described at /api/openapi.json."""

from __future__ import annotations

from typing import Any, get_args

from flask import Blueprint, g, jsonify, url_for

from admin import operations
from admin.api import objects
from admin.api.objects import Rejection
from admin.api.openapi import API, Description, answers
from admin.api.queries import Most, MostEvents, OfEvents, OfRejections, OfTasks, ToFind, ToTry
from admin.check.checking import Checked, check_everything
from admin.check.health import find_issues, state_of
from admin.events.failures import Failures
from admin.events.failures import failures as failures_of
from admin.events.filters import OfWebhook, check_webhook, parts_of, search_of
from admin.find import Found, find
from admin.page.context import check_admin
from admin.page.pages import bridge
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
    state = state_of(bridge())
    return objects.Overview(
        problems=[objects.Issue.of(issue) for issue in find_issues(state)],
        events=objects.EventCounts.model_validate(
            dict.fromkeys(get_args(EventStatus), 0) | dict(state.counts)
        ),
        unresolved=state.unresolved,
        oldest_pending_at=state.oldest_pending,
        waiting_tasks=sum(state.waiting.values()),
        conductor=state.reports.conductor,
        discovery=state.reports.discovery,
    )


@blueprint.get("/webhooks")
@answers(list[objects.Webhook])
def webhooks() -> Any:
    """The webhooks"""
    return operations.list_webhooks(bridge())


@blueprint.get("/webhooks/<name>")
@answers(objects.WholeWebhook, 404)
def webhook(name: str) -> Any:
    """One webhook, with what to enter at its platform"""
    return operations.show_webhook(bridge(), name, with_definition=g.role == "admin")


@blueprint.get("/webhooks/<name>/try")
@answers(objects.Tried, 404, query=ToTry)
def try_criteria(name: str, query: ToTry) -> Any:
    """Which of the newest events criteria would have fitted, and what fails for the others"""
    return operations.try_criteria(bridge(), name, query.kind, query.criteria)


@blueprint.post("/webhooks/<name>/pause")
@answers(list[objects.Webhook], 404)
def pause(name: str) -> Any:
    """Pause a webhook: deliveries are accepted, and nothing is decided until it is resumed"""
    here = bridge()
    operations.pause(here, name)
    return operations.list_webhooks(here)


@blueprint.post("/webhooks/<name>/resume")
@answers(list[objects.Webhook], 404)
def resume(name: str) -> Any:
    """Resume a paused webhook"""
    here = bridge()
    operations.resume(here, name)
    return operations.list_webhooks(here)


@blueprint.get("/events")
@answers(list[objects.ListedEvent], 404, query=OfEvents)
def events(query: OfEvents) -> Any:
    """Events, newest first

    The header Link names the next page; Searched-Since says how far back was searched, if not to
    the end.
    """
    here, filters = bridge(), parts_of(query.model_dump())
    found = operations.list_events(here, search_of(here, filters), query.limit, query.before)
    headers = {}
    if found.older is not None:
        link = url_for(".events", **filters, limit=query.limit, before=found.older)  # type: ignore[arg-type]
        headers["Link"] = f'<{link}>; rel="next"'
    if found.searched_to is not None:
        headers["Searched-Since"] = str(iso(found.searched_to.received_at))
    return found.events, headers


@blueprint.get("/check")
@answers(Checked)
def check() -> Any:
    """What is wrong with definitions, settings, Conductor and store, as this process sees them; for
    admins, as it takes seconds of Conductor's time"""
    check_admin("check the bridge")
    here = bridge()
    return check_everything(here.settings, lambda: here)


@blueprint.get("/find")
@answers(Found, query=ToFind)
def find_id(query: ToFind) -> Any:
    """What has an id: events, deliveries, tasks, workflows, correlations"""
    return find(bridge(), query.id)


@blueprint.get("/failures")
@answers(Failures, 404, query=OfWebhook)
def failures(query: OfWebhook) -> Any:
    """Unresolved failed events, grouped by webhook and reason: the newest 5,000 of them"""
    here = bridge()
    check_webhook(here, query.webhook)
    return failures_of(here, query.webhook)


@blueprint.get("/events/<event_id>")
@answers(objects.WholeEvent, 404)
def event(event_id: str) -> Any:
    """One event with its payload"""
    here = bridge()
    return operations.show_event(here, here.event_meant(event_id))


@blueprint.get("/events/<event_id>/why")
@answers(objects.Why, 404, query=Most)
def why(event_id: str, query: Most) -> Any:
    """Why an event did or didn't match each waiting task"""
    return operations.explain_event(bridge(), event_id, query.limit)


@blueprint.post("/events/<event_id>/replay")
@answers(objects.Replay, 404, 409, status=201)
def replay(event_id: str, json: objects.ReplayTo) -> Any:
    """Deliver an event again, as a new event that arrives now"""
    return operations.replay_event(bridge(), event_id, json), 201


@blueprint.post("/events/<event_id>/erase")
@answers(objects.WholeEvent, 404, 409)
def erase_event(event_id: str) -> Any:
    """Erase what an event carried: payload, headers and answers; its row, ids, times and targets
    stay"""
    here = bridge()
    erased = operations.erase_event(here, event_id)
    return operations.show_event(here, here.event(erased))


@blueprint.get("/tasks")
@answers(list[objects.Task], query=OfTasks)
def tasks(query: OfTasks) -> Any:
    """Waiting tasks, ordered by id"""
    return operations.list_tasks(bridge(), query.workflow, query.limit, query.after, query.broken)


@blueprint.get("/tasks/<task_id>")
@answers(objects.WholeTask, 404, query=MostEvents)
def task(task_id: str, query: MostEvents) -> Any:
    """One task, with the recent events that came closest to it"""
    return operations.show_task(bridge(), task_id, query.limit)


@blueprint.get("/rejections")
@answers(list[Rejection], 404, query=OfRejections)
def rejections(query: OfRejections) -> Any:
    """The newest rejected deliveries, or the newest that `only` filtered out"""
    return operations.list_rejections(bridge(), query.webhook, query.limit, query.filtered)


@blueprint.post("/callbacks")
@answers(operations.Callback, 404, status=201)
def make_callback(json: operations.ToCallBack) -> Any:
    """Make a URL that completes one task, once; only with BRIDGE_ADMIN_TOKEN"""
    return operations.make_callback(bridge(), json), 201
