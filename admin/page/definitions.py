"""Creates, edits, rotates and deletes webhooks on the page; `DefinitionsFolder` writes them."""

from __future__ import annotations

import itertools
from typing import Any

from flask import Blueprint, Response, abort, make_response, redirect, request, url_for

from admin import operations
from admin.definitions.entry_text import UnknownSecret
from admin.definitions.forms import KINDS, WebhookForm
from admin.definitions.outlook import find_waiting, outlook
from admin.definitions.rotation import ValueMissing, remove_old
from admin.definitions.rotation import rotate as rotate_proof
from admin.definitions.values import as_yaml, preview
from admin.definitions.writer import CantWrite, Change, Changed, Invalid, NameTaken, Written
from admin.errors import NotFound
from admin.events.event_or_sample import sample_events
from admin.page.context import source
from admin.page.pages import bridge, render, with_own_scripts
from admin.page.webhooks import folder, is_in_force, to_page, webhook_page
from config.webhooks import Definitions, Problem, Webhook
from platforms.guide import guides
from platforms.senders import SENDERS
from worker.conductor.errors import ConductorError
from worker.conductor.workflow_definitions import check_workflows

blueprint = Blueprint("definitions", __name__)

_SUGGESTED = 100
"""Workflows that can be ticked, at most; the others are offered as one types."""
_Listed = tuple[dict[str, list[int]], str]
"""The workflows that Conductor has, with their versions, and why they can't be listed now."""
_CHANGES = 200
"""Changes that are listed, at most."""
_COMPARED = 3.0
"""Seconds for reading the definitions of a webhook's workflows."""
_LISTED = 3.0
"""Seconds for the list of Conductor's workflows."""
_READ = 2.0
"""Seconds for reading the definitions of the workflows to choose from."""
_FIRST = (
    "github", "stripe", "slack", "shopify", "gitlab", "twilio", "hubspot", "jira", "discord", "custom",
)  # fmt: skip
"""The platforms that most people look for, before all others."""


# --- new ---


@blueprint.get("/new")
def new() -> str | Response:
    folder().check_writable()
    sender = SENDERS.get(request.args.get("sender", ""))
    guide = guides().get(sender.platform if sender else request.args.get("platform", ""))
    if guide is None:
        every = guides()
        titles = {name: one.platform.title for name, one in every.items()}
        others = [
            (titles[name], one.platform.purpose, {"platform": name})
            for name, one in every.items()
            if name not in _FIRST
        ]
        for one in SENDERS.values():
            purpose = "" if one.platform == "custom" else f"signs as {titles[one.platform]} does"
            others.append((one.title, purpose or "as a custom sender", {"sender": one.name}))
        others.sort(key=lambda one: one[0].lower())
        return with_own_scripts(
            render("new_platform.html", first=[every[name] for name in _FIRST], others=others)
        )
    form = WebhookForm(guide, sender.proof if sender else request.args.get("proof", ""))
    form.begin()
    form.name = _free_name(sender.name if sender else guide.platform.name)
    if sender and sender.settings:
        form.more = sender.settings
    return form_page(form, form.keys())


@blueprint.post("/new")
def create() -> Response:
    here = folder()
    guide = guides().get(request.form.get("platform", "")) or abort(400, "no such platform")
    form = WebhookForm(guide, request.form.get("proof", ""), more=request.form.get("more", ""))
    for name in ("name", "header", "secret", "verify_token"):
        setattr(form, name, request.form.get(name, "").strip())
    form.receivers, form.starts = (
        list(filter(None, map(str.strip, request.form.getlist(name))))
        for name in ("receiver", "start")
    )
    keys = form.keys()
    if request.form.get("do") != "create":
        return form_page(form, keys)
    _preview(form, keys)
    if form.errors:
        return form_page(form, keys, 422)
    try:
        here.create(keys)
    except CantWrite as error:
        form.errors[""] = str(error)
        return form_page(form, keys, 409)
    operations.record_webhook(bridge(), "created", form.name, f"platform {guide.platform.name}")
    is_entered = (
        guide.platform.made_by == "us" and form.asks_for_secret and form.proof != "callback"
    )
    return webhook_page(form.name, fresh=True, secret=form.secret if is_entered else None)


# --- change and delete ---


@blueprint.get("/webhooks/<name>/edit")
def edit(name: str) -> Response:
    written = _written(name)
    return edit_page(written, written.masked, written.version)


@blueprint.post("/webhooks/<name>/edit")
def save(name: str) -> Response:
    written = _written(name)
    version = request.form.get("version", "")
    text = "".join(f"{line}\n" for line in request.form.get("yaml", "").rstrip().splitlines())
    try:
        if request.form.get("do") != "save":
            return edit_page(written, text, version, folder().plan_edit(written, text))
        folder().edit(name, text, version)
    except Invalid as error:
        return edit_page(written, text, version, status=422, problems=error.problems)
    except (UnknownSecret, CantWrite) as error:
        return edit_page(written, text, version, status=error.status, problem=str(error))
    except Changed as error:
        problem = (
            f"{error}. Below are what you typed and what the file says now; save again to replace"
            " that."
        )
        return edit_page(
            written, text, written.version, None, 409, problem=problem, now=written.masked
        )
    bridge().record("edited", name)
    return to_page(name)


@blueprint.post("/webhooks/<name>/secret")
def rotate(name: str) -> Response:
    """Adds a new secret, or value of a header, before the old one, or the first secret, or removes
    the old ones."""
    written, header = _written(name), request.form.get("header") or None
    version = request.form.get("version", "")
    if request.form.get("do") == "forget":
        remove_old(bridge(), folder(), written, header, version)
        return to_page(name)
    try:
        typed = request.form.get("secret", "").strip()
        rotated = rotate_proof(bridge(), folder(), written, header, typed, version)
    except (ValueMissing, Invalid) as error:
        return webhook_page(name, 422, secret_problem=str(error))
    return webhook_page(
        name, secret=rotated.made_up, **{"added" if rotated.added else "rotated": True}
    )


@blueprint.get("/webhooks/<name>/delete")
def ask_delete(name: str) -> str:
    return _delete_page(name, _written(name))


@blueprint.post("/webhooks/<name>/delete")
def delete(name: str) -> Response | tuple[str, int]:
    written = _written(name)
    if request.form.get("confirm", "").strip() != name:
        return _delete_page(name, written, wrong=True), 422
    folder().delete(name, request.form.get("version", ""))
    operations.record_webhook(bridge(), "deleted", name)
    return make_response(redirect(url_for("pages.overview"), 303))


def _delete_page(name: str, written: Written, wrong: bool = False) -> str:
    return render(
        "delete.html",
        name=name,
        written=written,
        wrong=wrong,
        is_paused=name in bridge().store.pauses.paused(),
    )


@blueprint.get("/changes")
def changes() -> str:
    return render(
        "changes.html", changes=bridge().store.changes.newest(limit=_CHANGES), most=_CHANGES
    )


# --- the forms ---


def _free_name(name: str) -> str:
    """The name, with a number if there is such a webhook already."""
    taken = bridge().definitions.by_name
    numbered = (f"{name}-{number}" for number in itertools.count(2))
    return name if name not in taken else next(one for one in numbered if one not in taken)


def _written(name: str) -> Written:
    """The webhook as it is written. Raises NotFound, and CantWrite if what its file says isn't in
    force."""
    found = folder().find(name)
    if found is None:
        raise NotFound(f"no webhook {name} is in {source().settings.bridge_webhooks}")
    if not is_in_force(found):
        errors = [
            str(problem)
            for problem in bridge().definitions.errors
            if problem.file == str(found.file)
        ]
        raise CantWrite(
            f"correct {found.file.name} first: {'; '.join(errors) or 'it is being changed'}"
        )
    return found


def form_page(form: WebhookForm, keys: dict[str, Any], status: int = 200) -> Response:
    """The form of a new webhook. Once it has been checked it says what the webhook will do."""
    here = bridge()
    listed = _workflow_versions()
    versions, failure = listed
    yaml, change = _preview(form, keys)
    is_checked = request.method == "POST"
    if not is_checked:
        form.errors = {}  # nobody wants complaints before having typed anything
    in_store = here.store.queries.waiting_by_workflow()
    chosen = change.webhook.receivers if change and change.webhook else {}
    first = [name for name in (*chosen, *sorted(in_store)) if name in versions]
    named = [(name, one) for name, some in chosen.items() for one in sorted(some or ())]
    latest = [(name, one) for name in (*first, *sorted(versions)) for one in versions[name][-1:]]
    wanted = list(dict.fromkeys([*named, *latest]))
    waiting = find_waiting(source().conductor, wanted, _READ)
    meanings = {one.workflow: one for one in waiting.values()}
    suggested = dict.fromkeys((*sorted(in_store), *sorted(meanings)))
    text = render(
        "new.html",
        form=form,
        guide=form.guide,
        kinds={kind: KINDS[kind].label for kind in form.proofs},
        yaml=yaml,
        suggested=[one for one in suggested if one not in form.receivers][:_SUGGESTED],
        meanings=meanings,
        workflow_versions=versions,
        not_listed=failure,
        warnings=_warnings(change, listed) if change else (),
        checked=is_checked and change is not None,
        outlook=(
            list(outlook(change.webhook, versions, waiting)) if change and change.webhook else []
        ),
    )
    return make_response(text, status)


def edit_page(
    written: Written,
    text: str,
    version: str,
    change: Change | None = None,
    status: int = 200,
    **more: Any,
) -> Response:
    """The page on which a webhook's YAML is edited. `change`: what its check has found; `more`:
    what is wrong."""
    rendered = render(
        "edit.html",
        written=written,
        text=text,
        version=version,
        checked=change is not None,
        warnings=_warnings(change, _workflow_versions()) if change else (),
        **{"problems": (), "problem": None, "now": None, **more},
    )
    return make_response(rendered, status)


def _warnings(change: Change, listed: _Listed) -> tuple[str, ...]:
    """What there is to be said about a change that passed the checks. `listed`: Conductor's
    workflows."""
    about = (*change.warnings, *_about_workflows(change.webhook, listed))
    return tuple(f"{one.what}; {one.remedy}" for one in about)


def _preview(form: WebhookForm, keys: dict[str, Any]) -> tuple[str, Change | None]:
    """The YAML that would be written, and the change; None if it has errors."""
    try:
        change = folder().plan(keys)
    except Invalid as error:
        form.place(error.problems)
    except NameTaken as error:
        form.errors.setdefault("name", f"{error}; choose another name")
    else:
        return change.text or "", change
    return as_yaml({"webhooks": [preview(keys)]}), None


def _workflow_versions() -> _Listed:
    """The workflows that Conductor has, and why they can't be listed now; that is empty if they
    can."""
    try:
        return source().conductor.within(_LISTED).workflow_versions(), ""
    except ConductorError as error:
        return {}, str(error)


def _about_workflows(webhook: Webhook | None, listed: _Listed) -> tuple[Problem, ...]:
    """What of the webhook doesn't fit the workflows that Conductor has, if it can be asked."""
    versions, failure = listed
    if webhook is None or failure:
        return ()
    left = source().settings.bridge_leave_to_conductor
    return check_workflows(
        source().conductor, Definitions((webhook,)), versions, sample_events, _COMPARED, left
    ).problems
