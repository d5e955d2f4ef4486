"""The pages, rendered on the server, without scripts."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from flask import (
    Blueprint,
    Response,
    abort,
    current_app,
    g,
    jsonify,
    make_response,
    redirect,
    render_template,
    request,
    send_from_directory,
    url_for,
)
from flask.typing import ResponseReturnValue

import admin
from admin import operations
from admin.api.objects import ReplayTo
from admin.bridge import Bridge
from admin.check.health import find_issues, state_of
from admin.errors import NotFound
from admin.events.failures import failures as failures_of
from admin.events.filters import STATUSES, check_webhook, names_for, parts_of, search_of
from admin.events.follow import newest
from admin.events.replay import NeedsConfirmation
from admin.explain.explainer import Explainer
from admin.explain.results import shown_first
from admin.find import find
from admin.page.access import COOKIE, SESSION_SECONDS
from admin.page.charts import charts, hours, small_charts
from admin.page.context import role_of_token, sessions, set_cookie, source
from admin.page.times import lasting, local, zone
from admin.page.webhook_list import SORTS, Row, page_of
from admin.search import BadFilter
from admin.setup_steps import as_html, as_text
from admin.urls import url_of
from admin.wording.statuses import (
    TARGETS_LISTED,
    describe_effects,
    describe_status,
    read_targets,
    status_context,
)
from admin.wording.terminal import plain, pretty
from config.quantities import ago
from criteria.descriptions import describe_criterion
from criteria.descriptions import shown as shown_value
from store.records import Event, iso
from store.rules.transitions import FAILED
from store.sql.event_search import EventPage

blueprint = Blueprint("pages", __name__)

_DOCS = Path(admin.__file__).parents[1] / "docs"
"""In a checkout, and in the wheel."""
PAGE = 50
AT_ONCE = 1000
"""Events of a filter that the page, or one call of the API, handles; for more there is the command
line."""
_BROKEN = 20
"""Tasks whose matches are missing or can't be parsed that are shown above the others, at most."""
_TASKS_EXPLAINED = 100
_FOLLOWED_EVERY = 2
"""Seconds between two loads of an event's page that is followed."""
LONGEST_SHOWN = 100_000
"""Characters of a payload on its page; the API has all of it."""


def bridge() -> Bridge:
    """The bridge for this request. Raises StoreUnavailable, NewerStore."""
    return source().bridge()


# --- pages ---


@blueprint.get("/")
def overview() -> str:
    here = bridge()
    state = state_of(here)
    text = request.args.get("name", "").strip()
    sort = request.args.get("sort", "attention")
    if sort not in SORTS:
        abort(400, f"the list can be sorted by {', '.join(SORTS)}")
    failed: dict[str, list[int]] = {}
    for webhook_name, at in state.failed:
        failed.setdefault(webhook_name, []).append(at)
    paused = here.store.pauses.paused()
    broken = {problem.webhook for problem in here.definitions.errors}
    rows = [
        Row(
            webhook,
            state.verified_at.get(name),
            paused.get(name),
            state.deliveries.get(name, {}),
            len(failed.get(name, ())),
            name in broken,
        )
        for name, webhook in here.definitions.by_name.items()
        if text.lower() in name.lower()
    ]
    page = max(1, request.args.get("page", 1, type=int))
    shown, pages = page_of(rows, sort, page)
    by_hour = here.store.queries.delivery_hours_of([row.name for row in shown], hours(state.now)[0])
    return render(
        "overview.html",
        number=len(rows),
        names=here.definitions.by_name,
        text=text,
        sort=sort,
        page=min(page, pages),
        pages=pages,
        has_filter=bool(text) or len(here.definitions.by_name) > PAGE,
        issues=find_issues(state),
        charts=charts(here.store.queries, state.now, zone()),
        small=small_charts(by_hour, failed, state.now, zone()),
        counts={**state.counts, "failed": state.unresolved},
        rows=shown,
        url_of=lambda webhook: url_of(webhook, here.settings),
        waiting=sum(state.waiting.values()),
        oldest_pending=state.oldest_pending,
        has_public_url=here.settings.bridge_public_url is not None,
    )


@blueprint.get("/find")
def find_id() -> ResponseReturnValue:
    """What has an id; where that is one event, its page."""
    text = request.args.get("id", "").strip() or abort(400, "give an id")
    found = find(bridge(), text)
    if len(found.events) == 1 and not found.workflows:
        return redirect(url_for(".event", event_id=found.events[0].event_id))
    return render("find.html", found=found, find_text=text)


@blueprint.get("/events")
def events() -> ResponseReturnValue:
    here = bridge()
    filters = parts_of(request.args)
    before = request.args.get("before", type=seq)
    problem = None
    page = EventPage(())
    try:
        query = search_of(here, filters)
        page = here.page(replace(query, before_seq=before, limit=PAGE + 1))
    except (BadFilter, NotFound) as error:
        problem = str(error)
    shown = page.events[:PAGE]
    text = render(
        "events.html",
        problem=problem,
        rows=rows_of(here, shown),
        filters=filters,
        names=names_for(here, filters.get("webhook")),
        statuses=STATUSES,
        searched_to=page.searched_to if len(page.events) <= PAGE else None,
        older=_older(page, filters),
        newest=url_for(".events", **filters) if before else None,  # type: ignore[arg-type]
    )
    return text, 200 if problem is None else 400


def _older(page: EventPage, filters: dict[str, str]) -> str | None:
    """Where the list goes on: after the last one that is shown, or where the search ended."""
    last = page.events[PAGE - 1] if len(page.events) > PAGE else page.searched_to
    return url_for(".events", **filters, before=last.seq) if last is not None else None  # type: ignore[arg-type]


def rows_of(here: Bridge, events: Sequence[Event]) -> list[dict[str, Any]]:
    """For each event of a list its status and effects in words, and the targets that failed."""
    targets = here.targets_by_event(events)
    context = status_context(here.store, events, targets)
    return [
        {
            "event": event,
            "status": describe_status(event, targets[event.id], context),
            "effects": describe_effects(targets[event.id]),
            "errors": [target for target in targets[event.id] if target.state in FAILED],
        }
        for event in events
    ]


@blueprint.get("/deliveries")
def deliveries() -> Response:
    here = bridge()
    webhook = chosen_webhook(here)
    answer = with_own_scripts(
        render(
            "deliveries.html",
            webhook=webhook,
            names=names_for(here, webhook),
            **_newest(here, webhook),
        )
    )
    answer.headers["Content-Security-Policy"] += "; connect-src 'self'"
    return answer


@blueprint.get("/deliveries/rows")
def delivery_rows() -> Response:
    """The rows of that page, which asks for them every second; 304 if it has them already."""
    here = bridge()
    answer = make_response(render("delivery_rows.html", **_newest(here, chosen_webhook(here))))
    answer.add_etag()
    answer.make_conditional(request)
    return answer


def _newest(here: Bridge, webhook: str | None) -> dict[str, Any]:
    """The newest deliveries, and the status of each event in the words of the list of events."""
    found = newest(here, webhook)
    targets = {one.event.id: one.targets for one in found if one.event is not None}
    events = [one.event for one in found if one.event is not None]
    context = status_context(here.store, events, targets)
    words = {event.id: describe_status(event, targets[event.id], context) for event in events}
    return {"deliveries": found, "words": words}


def chosen_webhook(here: Bridge) -> str | None:
    """The one that a list is for; None for all. Raises NotFound."""
    webhook = request.args.get("webhook") or None
    check_webhook(here, webhook)
    return webhook


@blueprint.get("/failures")
def failures() -> str:
    here = bridge()
    webhook = chosen_webhook(here)
    return render(
        "failures.html",
        found=failures_of(here, webhook),
        webhook=webhook,
        names=names_for(here, webhook),
    )


@blueprint.get("/events/<event_id>")
def event(event_id: str) -> Response:
    """One event; with `follow` the page is loaded again until the event is settled, without a
    script."""
    here = bridge()
    found = here.event(event_id)
    targets = read_targets(here.store.queries, event_id)
    explained = Explainer(here).event(found, _TASKS_EXPLAINED, targets)
    shown = here.shown(found)
    try:
        payload = pretty(json.loads(shown.payload), LONGEST_SHOWN)
    except ValueError:  # it can't be read
        payload = plain(shown.payload, lines=True)
    webhook = here.definitions.by_name.get(found.webhook)
    shows_all = request.args.get("all") == "true"
    near, others = shown_first(explained.tasks, each=shows_all)
    context = status_context(here.store, [found], {event_id: targets.some})
    follows = _FOLLOWED_EVERY if found.status == "pending" and request.args.get("follow") else None
    text = render(
        "event.html",
        follows=follows,
        closest=near,
        others=others,
        event=shown,
        targets=targets.some[:TARGETS_LISTED],
        beyond=targets.beyond(TARGETS_LISTED),
        status_words=describe_status(found, targets.some, context),
        explained=explained,
        payload=payload[:LONGEST_SHOWN],
        cut=len(payload) > LONGEST_SHOWN,
        webhook=webhook,
        tasks_explained=_TASKS_EXPLAINED,
    )
    page = make_response(text)
    if follows is not None:
        page.headers["Refresh"] = str(follows)
    return page


def with_own_scripts(text: str, status: int = 200) -> Response:
    """The answer for a page without payloads: it may run the scripts of this server."""
    answer = make_response(text, status)
    answer.headers["Content-Security-Policy"] = f"{current_app.config['POLICY']}; script-src 'self'"
    return answer


@blueprint.post("/events/<event_id>/replay")
def replay(event_id: str) -> Response:
    target = request.form.get("target", type=int)
    try:
        asked = ReplayTo(target=target, confirm=request.form.get("confirm") == "yes")
        made = operations.replay_event(bridge(), event_id, asked)
    except NeedsConfirmation as error:
        return make_response(
            render("replay_one.html", event_id=event_id, target=target, effect=str(error)), 409
        )
    return _redirect(url_for(".event", event_id=made.event_id, follow=1))


@blueprint.get("/tasks")
def tasks() -> str:
    here = bridge()
    workflow = request.args.get("workflow") or None
    found = here.store.queries.waiting_tasks(request.args.get("after", ""), PAGE + 1, workflow)
    page = found[:PAGE]
    filters: dict[str, Any] = {"workflow": workflow} if workflow else {}
    waiting = here.store.queries.waiting_by_workflow()
    is_first = not workflow and not request.args.get("after")
    broken = here.broken_tasks(_BROKEN + 1) if is_first else []
    return render(
        "tasks.html",
        tasks=page,
        broken=broken[:_BROKEN],
        more_broken=len(broken) > _BROKEN,
        workflow=workflow,
        waiting=waiting,
        receivers=here.definitions.by_receiver,
        next=url_for(".tasks", **filters, after=page[-1].id) if len(found) > PAGE else None,
        first=url_for(".tasks", **filters) if request.args.get("after") else None,
    )


@blueprint.get("/tasks/<task_id>")
def task(task_id: str) -> str:
    here = bridge()
    found = here.task(task_id)
    explained = Explainer(here).task(found)
    return render(
        "task.html",
        task=found,
        meaning=explained.meaning,
        targets=explained.targets,
        near=explained.near,
        matches=pretty(found.matches, LONGEST_SHOWN)[:LONGEST_SHOWN],
    )


@blueprint.get("/login")
def login() -> Response:
    if not sessions().has_tokens:
        return _redirect(url_for(".overview"))
    return with_own_scripts(render("login.html", next=_after_log_in(request.args), wrong=False))


@blueprint.post("/login")
def log_in() -> Response | tuple[str, int]:
    if not sessions().has_tokens:
        return _redirect(url_for(".overview"))
    then = _after_log_in(request.form)
    role = role_of_token(request.form.get("token"))
    if role is None:
        return with_own_scripts(render("login.html", next=then, wrong=True), 401)
    answer = _redirect(then)
    set_cookie(answer, sessions().new(role))
    return answer


def _after_log_in(values: Mapping[str, str]) -> str:
    """The page of ours that was requested before logging in."""
    then = values.get("next", "")
    if (
        not then.startswith("/")
        or then.startswith(("//", "/\\"))
        or any(ord(character) < 32 for character in then)
    ):
        return url_for(".overview")
    return then


@blueprint.post("/logout")
def logout() -> Response:
    """Ends the session everywhere, whether used by cookie or by a token from /api/token."""
    for given in (request.cookies.get(COOKIE), request.headers.get("X-Authorization")):
        if sessions().has_tokens and (session_id := sessions().id_of(given)):
            now = _now()
            source().store().sessions.end(session_id, now + SESSION_SECONDS * 1000, now)
    answer = _redirect(url_for(".login"))
    answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="Strict")
    return answer


@blueprint.get("/docs/<name>.md")
def document(name: str) -> Response:
    """A page of the documentation, as it was installed with the bridge."""
    return send_from_directory(_DOCS, f"{name}.md", mimetype="text/plain")


@blueprint.get("/healthz")
def health() -> Response:
    """Alive."""
    return jsonify({"status": "ok"})


@blueprint.get("/readyz")
def ready() -> tuple[Response, int]:
    """Whether the store can be used and the definitions are loaded."""
    problem = source().find_problem()
    if problem is None:
        return jsonify({"status": "ok"}), 200
    return jsonify({"status": "unavailable", "problems": [plain(problem)]}), 503


# --- what templates use ---


def _now() -> int:
    return int(time.time() * 1000)


def seq(text: str) -> int:
    number = int(text)
    if not 0 <= number < 2**63 - 1:
        abort(400)
    return number


def _redirect(where: str) -> Response:
    return make_response(redirect(where, 303))


def render(template: str, **values: Any) -> str:
    return render_template(
        template,
        has_token=sessions().has_tokens,
        may_change=g.get("role") == "admin",
        may_write=g.get("role") == "admin" and source().settings.bridge_admin_writes,
        who=g.get("who", ""),
        **values,
    )


def execution_url(workflow_id: str | None) -> str | None:
    """Where people see a workflow of Conductor's."""
    return source().settings.url_of_workflow(workflow_id) if workflow_id else None


def docs_url(name: str) -> str:
    """Where people read that page of the documentation."""
    site = source().settings.bridge_docs_url
    return f"{site.rstrip('/')}/{name}.html" if site else url_for("pages.document", name=name)


HELPERS: dict[str, Any] = {
    "iso": iso,
    "since": lambda at: ago(_now() - at) if at is not None else "",
    "plain": lambda text: plain(text, lines=True),
    "describe_criterion": describe_criterion,
    "execution": execution_url,
    "in_json": shown_value,
    "as_html": as_html,
    "as_text": as_text,
    "docs": docs_url,
    "lasting": lasting,
    "local": local,
    "grouped": "{:,}".format,
}
"""For every template, macros included."""
