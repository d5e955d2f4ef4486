"""The list of events, what is done with many of them, and failures in groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from flask import g, make_response, request, url_for
from flask.typing import ResponseReturnValue

from admin.bridge import Bridge
from admin.errors import NotFound
from admin.events.descriptions import describe_effects, describe_status, status_context
from admin.events.failures import failures as failures_of
from admin.events.filters import STATUSES, check_webhook, names_for, parts_of, search_of
from admin.events.replay_plan import choose, plan_of
from admin.events.search import BadFilter
from admin.page.many import AT_ONCE
from admin.page.pages import PAGE, bridge, render, seq
from admin.page.pages import blueprint as blueprint
from store.records import Event
from store.sql.event_search import EventPage


@blueprint.get("/events")
def events() -> ResponseReturnValue:
    here = bridge()
    filters = parts_of(request.args)
    before = request.args.get("before", type=seq)
    problem = None
    page, many, replayable = EventPage(()), 0, 0
    try:
        query = search_of(here, filters)
        page = here.page(replace(query, before_seq=before, limit=PAGE + 1))
        # Only those who may replay them are told how many match.
        matching = choose(here, query, most=AT_ONCE + 1) if filters and g.role == "admin" else []
        many = len(matching)
        replayable = len(plan_of(here, matching).chosen) if many <= AT_ONCE else 0
    except (BadFilter, NotFound) as error:
        problem = str(error)
    shown = page.events[:PAGE]
    answer = make_response(
        render(
            "events.html",
            problem=problem,
            many=many,
            replayable=replayable,
            too_many=many > AT_ONCE,
            rows=rows_of(here, shown),
            filters=filters,
            names=names_for(here, filters.get("webhook")),
            statuses=STATUSES,
            searched_to=page.searched_to if len(page.events) <= PAGE else None,
            older=_older(page, filters),
            newest=url_for(".events", **filters) if before else None,  # type: ignore[arg-type]
        )
    )
    answer.status_code = 200 if problem is None else 400
    return answer


def _older(page: EventPage, filters: dict[str, str]) -> str | None:
    """Where the list goes on: after the last one that is shown, or where the search ended."""
    before: int | None = None
    if len(page.events) > PAGE:
        before = page.events[PAGE - 1].seq
    elif page.searched_to is not None:
        before = page.searched_to.seq
    return url_for(".events", **filters, before=before) if before is not None else None  # type: ignore[arg-type]


def rows_of(here: Bridge, events: Sequence[Event]) -> list[dict[str, Any]]:
    """For each event of a list its status and effects in words, and the targets that failed."""
    targets = here.targets_by_event(events)
    context = status_context(here, events, targets)
    return [
        {
            "event": event,
            "status": describe_status(event, targets[event.id], context),
            "effects": describe_effects(targets[event.id]),
            "errors": [target for target in targets[event.id] if target.state == "failed"],
        }
        for event in events
    ]


@blueprint.get("/failures")
def failures() -> str:
    here = bridge()
    webhook = request.args.get("webhook") or None
    check_webhook(here, webhook)
    return render(
        "failures.html",
        found=failures_of(here, webhook),
        webhook=webhook,
        names=names_for(here, webhook),
    )
