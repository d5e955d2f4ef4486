"""Replaying, acknowledging and reopening events: those that were ticked, or all that match a
filter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flask import Blueprint, Response, abort, make_response, redirect, request, url_for
from werkzeug.datastructures import MultiDict

from admin.api import objects
from admin.api.openapi import answers
from admin.api.queries import Reason, ToNote
from admin.bridge import Bridge
from admin.events.acknowledge import CantNote, check_reason, note, note_all, plan_notes
from admin.events.filters import PARTS, parts_of, search_of
from admin.events.replay import Plan, choose, plan_of, replay_all
from admin.page.pages import AT_ONCE, bridge, render
from admin.search import BadFilter
from store.records import Event
from store.story import REASON_KEPT, Noted


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for."""

    filters: Mapping[str, str]
    event_ids: Sequence[str] = ()
    to: int | None = None
    """The last event that was seen; those that arrived later aren't chosen."""

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self.filters.items())


def asked_for(given: MultiDict[str, str]) -> Asked:
    """What the parameters ask for: events one by one, or all that match a filter."""
    to = given.get("to", type=int)
    return Asked(
        parts_of(given), given.getlist("event"), to if to is not None and 0 <= to < 2**62 else None
    )


def chosen_of(here: Bridge, asked: Asked) -> list[Event]:
    """The events, oldest first. Raises BadFilter, NotFound."""
    if bool(asked.filters) == bool(asked.event_ids):
        raise BadFilter(
            f"select events by their ids, or filter them by {', '.join(PARTS[:-1])} or {PARTS[-1]}"
        )
    if asked.event_ids:
        found = here.store.queries.listed(asked.event_ids).values()
        return sorted(found, key=lambda event: event.seq)
    query = search_of(here, asked.filters)
    return choose(here, replace(query, before_seq=asked.to + 1 if asked.to else None), most=AT_ONCE)


blueprint = Blueprint("many", __name__)

_DONE: dict[str, Noted] = {"acknowledge": "acknowledged", "reopen": "reopened"}
_REPLAY, _ACKNOWLEDGE, _REOPEN = {"verb": "replay"}, {"verb": "acknowledge"}, {"verb": "reopen"}


# --- the page ---


@blueprint.post("/events/<event_id>/acknowledge", defaults=_ACKNOWLEDGE)
@blueprint.post("/events/<event_id>/reopen", defaults=_REOPEN)
def note_one(event_id: str, verb: str) -> Response:
    what = _DONE[verb]
    note(bridge(), event_id, what, check_reason(what, request.form.get("reason")))
    return make_response(redirect(url_for("pages.event", event_id=event_id), 303))


@blueprint.get("/replay", defaults=_REPLAY)
@blueprint.get("/acknowledge", defaults=_ACKNOWLEDGE)
@blueprint.get("/reopen", defaults=_REOPEN)
def ask(verb: str) -> str:
    """Asks for confirmation, and for a reason."""
    asked = asked_for(request.args)
    return _asking(verb, asked, _planned(verb, asked))


@blueprint.post("/replay", defaults=_REPLAY)
@blueprint.post("/acknowledge", defaults=_ACKNOWLEDGE)
@blueprint.post("/reopen", defaults=_REOPEN)
def act(verb: str) -> str:
    """Does it to exactly the events that were confirmed."""
    asked = asked_for(request.form)
    plan = _planned(verb, asked)
    if not plan.chosen:
        return _asking(verb, asked, plan)
    if request.form.get("number") != str(len(plan.chosen)):
        # Events have come or gone since then: what was confirmed is not what would happen.
        return _asking(verb, asked, plan, changed=True)
    if verb == "replay":
        *_, progress = replay_all(bridge(), plan, chosen_by=str(asked) or "hand")
        what, done, left_out = "replayed", progress.replayed, progress.left_out
    else:
        what, reason = _DONE[verb], check_reason(_DONE[verb], request.form.get("reason"))
        done, left_out = note_all(bridge(), plan, what, reason, str(asked) or "id"), plan.left_out
    return render(
        "done.html",
        what=what,
        done=done,
        left_out_of=left_out,
        total=plan.total,
        filters=asked.filters,
    )


def _asking(verb: str, asked: Asked, plan: Plan, **more: Any) -> str:
    reason = request.values.get("reason", "")
    return render(
        "many.html",
        verb=verb,
        asked=asked,
        plan=plan,
        reason=reason,
        longest=REASON_KEPT,
        most=AT_ONCE,
        **more,
    )


def _planned(verb: str, asked: Asked) -> Plan:
    here = bridge()
    found = chosen_of(here, asked)
    return plan_of(here, found) if verb == "replay" else plan_notes(found, _DONE[verb])


# --- the API ---


@blueprint.post("/api/events/<event_id>/acknowledge", defaults=_ACKNOWLEDGE)
@blueprint.post("/api/events/<event_id>/reopen", defaults=_REOPEN)
@answers(objects.Event, 404, 409)
def one_by_api(event_id: str, verb: str, json: Reason) -> Any:
    """Acknowledge an event that is failed, expired or ignored, with nothing more to do; or reopen
    it"""
    here, what = bridge(), _DONE[verb]
    note(here, event_id, what, check_reason(what, json.reason))
    found = here.event(event_id)
    return objects.Event.of(here.in_list(found), targets=here.targets_by_event([found])[event_id])


@blueprint.post("/api/events/acknowledge", defaults=_ACKNOWLEDGE)
@blueprint.post("/api/events/reopen", defaults=_REOPEN)
@answers(objects.NotesOrPlan, 404, 409)
def many_by_api(verb: str, json: ToNote) -> Any:
    """Acknowledge events, or reopen them; 1000 at most"""
    here, what = bridge(), _DONE[verb]
    asked = Asked(parts_of(json.model_dump()), json.event_ids)
    plan = plan_notes(chosen_of(here, asked), what)
    if json.dry_run:
        return objects.NotesOrPlan(objects.ManyPlan.of(plan, chosen=plan.total))
    try:
        done = note_all(here, plan, what, check_reason(what, json.reason), str(asked) or "id")
    except CantNote as error:
        abort(400, str(error))
    return objects.NotesOrPlan(
        objects.Notes(
            chosen=plan.total, webhooks=done, changed=done.total(), left_out=plan.left_out
        )
    )
