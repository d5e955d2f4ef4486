"""What the page shows, as JSON, described at /api/openapi.json."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

from flask import Blueprint, Response, abort, jsonify, request, url_for

from admin.api import event_list, objects
from admin.api.base import ApiObject, as_json
from admin.api.openapi import description, parameters
from admin.api.rejections import Rejection
from admin.api.webhooks import webhooks_of
from admin.api.whole_event import whole_event
from admin.check.health import find_issues
from admin.check.state import state_of
from admin.events.descriptions import status_context
from admin.events.erase import erase
from admin.events.failures import failures as failures_of
from admin.events.filters import check_webhook, parts_of, search_of
from admin.events.replay import replay as replay_event
from admin.explain.explainer import Explainer
from admin.page.context import changed
from admin.page.json_body import object_of
from admin.page.pages import bridge
from criteria.suggestions import did_you_mean
from store.records import EventStatus, iso

blueprint = Blueprint("api", __name__, url_prefix="/api")

_STATUSES = get_args(EventStatus)
_MOST = 1000


@blueprint.before_request
def refuse_unknown_parameters() -> None:
    """A filter that isn't known must not be ignored: the answer would be taken for a filtered one."""
    if request.method != "GET" or request.url_rule is None:
        return
    known = parameters(re.sub(r"<(\w+?)(_id)?>", _in_openapi, request.url_rule.rule))
    for name in request.args:
        if name not in known:
            remedy = did_you_mean(name, sorted(known)) if known else "this takes none"
            abort(400, f"unknown parameter {name}: {remedy}")


def _in_openapi(found: re.Match[str]) -> str:
    return f"{{{found[1]}{'Id' if found[2] else ''}}}"


@blueprint.get("/openapi.json")
def openapi() -> Response:
    return jsonify(description())


@blueprint.get("/overview")
def overview() -> Response:
    here = bridge()
    now = int(time.time() * 1000)
    state = state_of(here, now)
    return _answer(
        objects.Overview(
            problems=[objects.Issue.of(issue) for issue in find_issues(state)],
            events=objects.EventCounts.model_validate(dict.fromkeys(_STATUSES, 0) | dict(state.counts)),
            unresolved=state.unresolved,
            oldest_pending_at=state.oldest_pending,
            waiting_tasks=sum(state.waiting.values()),
            conductor=state.facts.get("conductor"),
            discovery=state.facts.get("discovery"),
        )
    )


@blueprint.get("/webhooks")
def webhooks() -> Response:
    return _answer(webhooks_of(bridge()))


@blueprint.post("/webhooks/<name>/pause")
def pause(name: str) -> Response:
    here = bridge()
    here.store.pauses.pause(here.webhook(name).name, here.store.now())
    changed("paused", name)
    return _answer(webhooks_of(here))


@blueprint.post("/webhooks/<name>/resume")
def resume(name: str) -> Response:
    here = bridge()
    if here.store.pauses.resume(name):
        changed("resumed", name)
    return _answer(webhooks_of(here))


@blueprint.get("/events")
def events() -> Response:
    here = bridge()
    filters = parts_of(request.args)
    before = request.args.get("before")
    query = search_of(here, filters)
    limit = _limit(50)
    page = here.page(replace(query, before_seq=here.event(before).seq if before else None, limit=limit))
    shown = here.summarized(page.events)
    targets = here.targets_by_event(shown)
    context = status_context(here, shown, targets)
    answer = _answer([event_list.event_in_list(event, targets[event.id], context) for event in shown])
    older = shown[-1].id if len(shown) == limit else page.searched_to.id if page.searched_to else None
    if older is not None:
        link = url_for(".events", **filters, limit=limit, before=older)  # type: ignore[arg-type]
        answer.headers["Link"] = f'<{link}>; rel="next"'
    if page.searched_to is not None and len(shown) < limit:
        answer.headers["Searched-Since"] = str(iso(page.searched_to.received_at))
    return answer


@blueprint.get("/failures")
def failures() -> Response:
    here = bridge()
    webhook = request.args.get("webhook")
    check_webhook(here, webhook)
    return _answer(event_list.Failures.of(failures_of(here, webhook)))


@blueprint.get("/events/<event_id>")
def event(event_id: str) -> Response:
    here = bridge()
    return _answer(whole_event(here, here.event(event_id)))


@blueprint.get("/events/<event_id>/why")
def why(event_id: str) -> Response:
    here = bridge()
    return _answer(objects.why(Explainer(here).event(here.event(event_id), _limit(200))))


@blueprint.post("/events/<event_id>/replay")
def replay(event_id: str) -> tuple[Response, int]:
    here = bridge()
    given = object_of(objects.ReplayTo)
    target = given.target
    new_id = replay_event(here, event_id, target, given.confirm)
    which = f"event {event_id}" + (f", target {target}" if target is not None else "")
    changed("replayed", here.event(event_id).webhook, f"{which}, as {new_id}")
    return _answer(objects.Replay(event_id=new_id, replay_of=event_id)), 201


@blueprint.post("/events/<event_id>/erase")
def erase_event(event_id: str) -> Response:
    here = bridge()
    erase(here, event_id)
    changed("erased", here.event(event_id).webhook, f"event {event_id}")
    return _answer(whole_event(here, here.event(event_id)))


@blueprint.get("/tasks")
def tasks() -> Response:
    here = bridge()
    found = here.store.queries.waiting_tasks(request.args.get("after", ""), _limit(200), request.args.get("workflow"))
    return _answer(list(map(objects.Task.of, found)))


@blueprint.get("/tasks/<task_id>")
def task(task_id: str) -> Response:
    here = bridge()
    found = here.task(task_id)
    return _answer(objects.whole_task(found, Explainer(here).task(found, _limit(20))))


@blueprint.get("/rejections")
def rejections() -> Response:
    check_webhook(bridge(), request.args.get("webhook"))
    filtered = request.args.get("filtered", "false")
    if filtered not in ("true", "false"):
        abort(400, "filtered must be true or false")
    found = bridge().store.queries.rejections(request.args.get("webhook"), _limit(50), filtered=filtered == "true")
    return _answer(list(map(Rejection.of, found)))


def _answer(found: ApiObject | Sequence[ApiObject]) -> Response:
    return jsonify(as_json(found))


def _limit(default: int) -> int:
    text = request.args.get("limit")
    if text is None:
        return default
    if not text.isdecimal() or not 0 < int(text[:9]) <= _MOST:
        abort(400, f"limit must be a number from 1 to {_MOST}")
    return int(text[:9])
