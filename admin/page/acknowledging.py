"""Acknowledging events and reopening them, on the page and by the API: one, some, or all that match."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from flask import Blueprint, Response, abort, g, jsonify, make_response, redirect, request, url_for
from werkzeug.datastructures import MultiDict

from admin.api import notes, objects
from admin.api.base import ApiObject, as_json
from admin.bridge import Bridge
from admin.events.acknowledge import CantNote, check_reason, note, note_all, plan_notes
from admin.events.replay_plan import Chosen, Plan, choose, chosen
from admin.page.json_body import object_of
from admin.page.pages import bridge, render
from store.records import EventFilter, EventStatus
from store.story import REASON_KEPT, Noted

blueprint = Blueprint("acknowledging", __name__)

_AT_ONCE = 1000
"""Events that the page, or one call of the API, acknowledges; for more there is the command line."""
_SINGLE = 200
"""Events that can be named one by one."""
_DONE: dict[str, Noted] = {"acknowledge": "acknowledged", "reopen": "reopened"}
_ACKNOWLEDGE, _REOPEN = {"verb": "acknowledge"}, {"verb": "reopen"}
_PARTS = ("webhook", "status", "text")


# --- the page -----------------------------------------------------------------------------------------------


@blueprint.post("/events/<event_id>/acknowledge", defaults=_ACKNOWLEDGE)
@blueprint.post("/events/<event_id>/reopen", defaults=_REOPEN)
def one(event_id: str, verb: str) -> Response:
    what = _DONE[verb]
    note(bridge(), event_id, what, g.who, check_reason(what, request.form.get("reason")))
    return make_response(redirect(url_for("pages.event", event_id=event_id), 303))


@blueprint.get("/acknowledge", defaults=_ACKNOWLEDGE)
@blueprint.get("/reopen", defaults=_REOPEN)
def ask(verb: str) -> str:
    """Asks for a reason, and for confirmation."""
    return _asking(verb, request.args, **_chosen(verb, request.args))


@blueprint.post("/acknowledge", defaults=_ACKNOWLEDGE)
@blueprint.post("/reopen", defaults=_REOPEN)
def many(verb: str) -> str:
    """Acknowledges, or reopens, exactly the events that were confirmed."""
    found = _chosen(verb, request.form)
    plan: Plan = found["plan"]
    if not plan.chosen:
        return _asking(verb, request.form, **found)
    if request.form.get("number") != str(len(plan.chosen)):
        # Events have come or gone since then: what was confirmed is not what would happen.
        return _asking(verb, request.form, **found, changed=True)
    what = _DONE[verb]
    reason = check_reason(what, request.form.get("reason"))
    by = ", ".join(f"{name} {value}" for name, value in found["filters"].items()) or "id"
    done = note_all(bridge(), plan, what, g.who, reason, by)
    return render("acknowledged.html", what=what, done=done, filters=found["filters"], plan=plan)


def _asking(verb: str, asked: MultiDict[str, str], **found: Any) -> str:
    reason = asked.get("reason", "")
    return render("acknowledge.html", verb=verb, what=_DONE[verb], reason=reason, longest=REASON_KEPT, **found)


def _chosen(verb: str, asked: MultiDict[str, str]) -> dict[str, Any]:
    """The filter or the events that were given, and what would happen."""
    filters = {name: asked[name] for name in _PARTS if asked.get(name)}
    event_ids = asked.getlist("event")
    to = asked.get("to", type=int)
    matching = _matching(bridge(), filters, event_ids, to if to is not None and 0 <= to < 2**62 else None)
    return {"filters": filters, "event_ids": event_ids, "plan": plan_notes(matching, _DONE[verb])}


def _matching(here: Bridge, filters: dict[str, str], event_ids: Sequence[str], to: int | None) -> list[Chosen]:
    status = filters.get("status")
    if bool(filters) == bool(event_ids) or (status is not None and status not in get_args(EventStatus)):
        abort(400, "select events by webhook, status or text, or by their ids")
    if len(event_ids) > _SINGLE:
        abort(400, f"at most {_SINGLE} events can be named")
    if event_ids:
        return sorted(map(chosen, here.store.queries.listed(event_ids).values()), key=lambda event: event.seq)
    before = to + 1 if to else None
    query = EventFilter(filters.get("webhook"), status, before, text=filters.get("text"))  # type: ignore[arg-type]
    return choose(here, query, most=_AT_ONCE)


# --- the API ------------------------------------------------------------------------------------------------


@blueprint.post("/api/events/<event_id>/acknowledge", defaults=_ACKNOWLEDGE)
@blueprint.post("/api/events/<event_id>/reopen", defaults=_REOPEN)
def one_by_api(event_id: str, verb: str) -> Response:
    what, given = _DONE[verb], object_of(notes.Reason)
    note(bridge(), event_id, what, g.who, check_reason(what, given.reason))
    found = bridge().event(event_id)
    targets = bridge().store.queries.targets_of([event_id])
    return _answer(objects.Event.of(bridge().in_list(found), targets=targets))


@blueprint.post("/api/events/acknowledge", defaults=_ACKNOWLEDGE)
@blueprint.post("/api/events/reopen", defaults=_REOPEN)
def many_by_api(verb: str) -> Response:
    what, given = _DONE[verb], object_of(notes.ToNote)
    filters = {name: value for name in _PARTS if (value := getattr(given, name))}
    plan = plan_notes(_matching(bridge(), filters, given.event_ids, None), what)
    if given.dry_run:
        return _answer(notes.NotePlan.of(plan, chosen=plan.total, to_confirm=plan.to_confirm))
    by = ", ".join(f"{name} {value}" for name, value in filters.items()) or "id"
    try:
        done = note_all(bridge(), plan, what, g.who, check_reason(what, given.reason), by)
    except CantNote as error:
        abort(400, str(error))
    return _answer(notes.Notes(chosen=plan.total, webhooks=done, changed=done.total(), left_out=plan.left_out))


def _answer(found: ApiObject) -> Response:
    return jsonify(as_json(found))
