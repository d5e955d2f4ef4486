"""Pages for whoever writes criteria: tries them on what came in, and compares payloads."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, get_args

from flask import Blueprint, abort, request

from admin.bridge import Bridge
from admin.events.event_or_sample import event_of_sample, find_event_or_sample
from admin.events.tree import MOST, compared, differences, place, tree_of
from admin.explain.explainer import Explainer
from admin.explain.trials import Kind, Trier, read_line, try_newest, written
from admin.page.pages import bridge, render
from criteria.jsonpath import BadPath, compile_path
from platforms.guide import samples
from store.records import Event
from store.sql.event_search import EventFilter

blueprint = Blueprint("criteria", __name__)

_LINES = 20
"""Criteria that are tried together."""
_OFFERED = 20
"""Events whose payloads are offered to choose from."""
_TASKS = 20
_LONGEST_VALUE = 200
"""Characters of a value that can be added with a button."""


# --- try criteria ---


@blueprint.get("/webhooks/<name>/try")
def try_criteria(name: str) -> str:
    """What would have fitted the criteria of the form, all of which is in the address."""
    here = bridge()
    webhook = here.webhook(name)
    kind = _kind()
    given = request.args.get("of", "")
    event = find_event_or_sample(here, webhook, given)
    shown = here.shown(_readable(event)) if event is not None else None
    document = shown.document() if shown is not None else {}
    typed = _typed(document, kind)
    hide = here.hide(name)
    lines = [
        read_line(path, value, kind, hide)
        for path, value in (typed[:1] if kind == "once" else typed)
    ]
    trier = Trier(kind, lines)
    explainer = Explainer(here)
    # Of several operators at a path, one that doesn't hold is shown.
    outcomes = (
        sorted(trier.explain(document), key=lambda one: not one.holds) if kind != "once" else ()
    )
    return render(
        "try.html",
        webhook=webhook,
        kinds=get_args(Kind),
        kind=kind,
        of=given,
        event=shown,
        stored=shown is not None and shown.seq > 0,
        events=here.events(EventFilter(name, limit=_OFFERED)),
        samples=list(samples(webhook.platform)),
        lines=lines,
        more=kind != "once" and len(lines) < _LINES,
        outcomes={one.path: one for one in outcomes},
        trials=try_newest(here, name, trier),
        tasks=explainer.waiting(event, _TASKS) if event is not None and kind == "matches" else (),
        most_tasks=_TASKS,
        written=written(kind, trier.criteria) if trier.criteria else None,
        tree=tree_of(document) if shown is not None else None,
        most_fields=MOST,
        longest_value=_LONGEST_VALUE,
    )


def _kind() -> Kind:
    kind = request.args.get("kind", "matches")
    if kind not in get_args(Kind):
        abort(400, "try matches, when, only or once")
    return kind  # type: ignore[return-value]


def _typed(document: Any, kind: Kind) -> list[tuple[str, str]]:
    """Paths and values of the form, once its button has added or removed one."""
    paths, values = request.args.getlist("path"), request.args.getlist("value")
    removed, added = request.args.get("remove"), request.args.get("add", "")
    lines = enumerate(zip(paths, values + [""] * len(paths), strict=False))
    typed = [
        (path, value) for place, (path, value) in lines if path.strip() and str(place) != removed
    ]
    with suppress(BadPath):
        if (found := compile_path(added)(document)) and added not in (path for path, _ in typed):
            # As JSON in ASCII, which every form returns as it was.
            value = json.dumps(found[0]) if found[0] is not None else ""
            typed = [*(typed if kind != "once" else ()), (added, value)]
    return typed[:_LINES]


def _readable(event: Event) -> Event:
    if event.unreadable is not None:
        abort(409, f"the event can't be read: {event.unreadable}")
    return event


# --- compare ---


@blueprint.get("/events/<event_id>/compare")
def compare(event_id: str) -> str:
    """What is different in this event from another one, or from a sample."""
    here = bridge()
    event = here.event(event_id)
    given = request.args.get("with", "previous")
    other = _other(here, event, given)
    webhook = here.definitions.by_name.get(event.webhook)
    found = None
    if other is not None:
        before, after = here.shown(_readable(other)), here.shown(_readable(event))
        found = differences(compared(before), compared(after))
    return render(
        "compare.html",
        event=event,
        other=other,
        given=given,
        events=here.events(EventFilter(event.webhook, limit=_OFFERED)),
        samples=list(samples(webhook.platform)) if webhook is not None else [],
        found=found,
        place=place,
        hides=here.hide(event.webhook) != (),
    )


def _other(here: Bridge, event: Event, given: str) -> Event | None:
    """The event to compare with; None if it is the webhook's first. Raises NotFound."""
    if given == "previous":
        query = EventFilter(event.webhook, before_seq=event.seq, limit=1)
        return next(iter(here.store.queries.events(query)), None)
    kind, _, name = given.partition(":")
    if kind != "sample":
        return here.event(given)
    return event_of_sample(here.webhook(event.webhook), name)
