"""Creates and changes webhooks on the page; `DefinitionsFolder` writes them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from flask import Blueprint, Response, abort, g, make_response, redirect, request, url_for

from admin import operations
from admin.bridge import DAY
from admin.definitions.entry_text import UnknownSecret, files_in, masked
from admin.definitions.forms import WebhookForm
from admin.definitions.rotation import ValueMissing, may_add_secret, proofs_of, remove_old
from admin.definitions.rotation import rotate as rotate_proof
from admin.definitions.values import as_yaml, without_secrets
from admin.definitions.writer import (
    CantWrite,
    Changed,
    DefinitionsFolder,
    Invalid,
    NameTaken,
    Written,
)
from admin.errors import NotFound
from admin.events.send import Answer, NotReachable, for_relay, post, wait_of
from admin.orkes.webhooks import forget
from admin.page.access import NotAllowed
from admin.page.charts import deliveries_chart, effect_times
from admin.page.context import changed, flash_messages, source
from admin.page.form_page import edit_page, form_page
from admin.page.pages import bridge, render, rows_of, with_own_scripts
from admin.setup_steps import how_to_try, prompts, setup_steps
from admin.urls import url_of
from config.references import may_hold_reference, stamp_of
from config.webhooks import Webhook
from platforms import PLATFORMS
from platforms.guide import guides, samples
from platforms.verifiers import CannotSign
from store.sql.event_search import EventFilter

blueprint = Blueprint("webhooks", __name__)

_CHANGES = 200
"""Changes that are listed, at most."""
_TAKEN_UP_WITHIN = 8.0
"""Seconds within which a running relay has read a new definition."""
_READ_WITHIN = 5.0
"""The same, unless the machine is busy."""


def check_may_write() -> None:
    """Raises NotAllowed, naming the setting, if definitions may not be written, and workflows not run."""
    if g.role != "admin":
        raise NotAllowed("this token is read-only: use BRIDGE_ADMIN_TOKEN to change something")
    if not source().settings.bridge_admin_writes:
        raise NotAllowed(
            "definitions can't be written and workflows can't be run here: set BRIDGE_ADMIN_WRITES=on, and "
            "BRIDGE_WEBHOOKS to a folder"
        )


def folder() -> DefinitionsFolder:
    """The folder of definitions. Raises NotAllowed, naming the setting, if they may not be written."""
    check_may_write()
    return DefinitionsFolder(source().settings.bridge_webhooks, PLATFORMS)


def defined(name: str) -> Webhook:
    """The webhook of that name. Raises NotFound."""
    return bridge().webhook(name)


def _written(name: str) -> Written:
    """The webhook as it is written. Raises NotFound, and CantWrite if what its file says isn't in force."""
    found = folder().find(name)
    if found is None:
        raise NotFound(f"no webhook {name} is in {source().settings.bridge_webhooks}")
    if not _is_in_force(found):
        errors = [str(problem) for problem in bridge().definitions.errors if problem.file == str(found.file)]
        raise CantWrite(f"correct {found.file.name} first: {'; '.join(errors) or 'it is being changed'}")
    return found


def _is_in_force(written: Written) -> bool:
    """Whether what the file says is in force. If it has errors, a secret may stand anywhere in it, so none of it may be
    shown; one that this process can't look up does no harm."""
    definitions = bridge().definitions
    if definitions.sources.get(written.file) != stamp_of(written.file):
        return False
    places = (problem.where.partition(": ")[2] for problem in definitions.errors if problem.file == str(written.file))
    return all(may_hold_reference(tuple(filter(None, re.split(r"\.|\[\d+\]", place)))) for place in places)


# --- new ----------------------------------------------------------------------------------------------------


@blueprint.get("/new")
def new() -> str | Response:
    folder().check_writable()
    guide = guides().get(request.args.get("platform", ""))
    if guide is None:
        listed = sorted(guides().values(), key=lambda one: (one.platform.name != "custom", one.platform.title.lower()))
        return with_own_scripts(render("new_platform.html", guides=listed))
    form = WebhookForm(guide, request.args.get("proof", ""))
    form.begin()
    return form_page(form, form.keys())


@blueprint.post("/new")
def create() -> Response:
    here = folder()
    guide = guides().get(request.form.get("platform", "")) or abort(400, "no such platform")
    form = WebhookForm(guide, request.form.get("proof", ""), more=request.form.get("more", ""))
    for name in ("name", "header", "secret", "verify_token"):
        setattr(form, name, request.form.get(name, "").strip())
    form.receivers, form.starts = (
        list(filter(None, map(str.strip, request.form.getlist(name)))) for name in ("receiver", "start")
    )
    do = request.form.get("do")
    if do == "generate":
        form.generate()
    keys = form.keys()
    if do != "create":
        return form_page(form, keys)
    try:
        if not form.errors:
            here.create(keys)
    except NameTaken as error:
        form.errors["name"] = f"{error}; choose another name"
    except CantWrite as error:
        form.errors[""] = str(error)
        return form_page(form, keys, 409)
    except Invalid as error:
        form.place(error.problems)
    if form.errors:
        return form_page(form, keys, 422)
    changed("created", form.name, f"platform {guide.platform.name}")
    forget(bridge().store.facts, form.name)
    is_entered = guide.platform.made_by == "us" and form.asks_for_secret and form.proof != "callback"
    return _to(form.name, fresh=True, secret=form.secret if is_entered else None)


# --- one webhook --------------------------------------------------------------------------------------------


@blueprint.get("/webhooks/<name>")
def webhook(name: str) -> Response:
    note = flash_messages().read(request.args.get("note", ""), g.cookie, name) if g.role == "admin" else {}
    return webhook_page(name, **note)


def webhook_page(name: str, status: int = 200, **more: Any) -> Response:
    """The webhook's page; `more` is what a form on it has led to."""
    here = bridge()
    definition = defined(name)
    now = int(time.time() * 1000)
    guide = guides()[definition.platform]
    written = None
    if here.settings.bridge_admin_writes:
        written = DefinitionsFolder(here.settings.bridge_webhooks, PLATFORMS).find(name)
    if written is not None and not _is_in_force(written):
        written = None
    events = here.events(EventFilter(webhook=name, limit=50))
    text = render(
        "webhook.html",
        webhook=definition,
        guide=guide,
        setup=setup_steps(definition, guide),
        prompts=list(prompts(definition, guide, url_of(definition, here.settings), more.get("secret"))),
        url=url_of(definition, here.settings),
        has_public_url=bool(definition.public_url or here.settings.bridge_public_url),
        verified_at=here.verified_at().get(name),
        samples=list(samples(definition.platform)),
        how_to_try=how_to_try(definition, url_of(definition, here.settings)),
        written=written,
        yaml=as_yaml({"webhooks": [without_secrets(written.keys)]}) if written else None,
        proofs=proofs_of(written.keys) if written else [],
        errors=[one for one in here.definitions.errors if one.is_about(name)],
        risks=[one for one in here.definitions.warnings if one.is_about(name)],
        may_add_secret=written is not None and may_add_secret(written.keys, guide),
        events=rows_of(here, events[:10]),
        chart=deliveries_chart(here.store.queries.delivery_hours(now - 7 * DAY, name), now),
        effect=effect_times(events, here.targets_by_event(events)),
        changes=here.store.changes.newest(name, 10),
        paused_at=here.store.pauses.paused().get(name),
        rejections=here.store.without_events.rejections(name, 1),
        filtered=here.store.without_events.rejections(name, 1, filtered=True),
        runnable=runnable(definition),
        **{"fresh": False, "secret": None, "answer": None, "said": None, "input": "", "not_run": None, **more},
    )
    return with_own_scripts(text, status)


@blueprint.post("/webhooks/<name>/test")
def test(name: str) -> Response:
    definition = defined(name)
    found = samples(definition.platform)
    sample = found.get(request.form.get("sample", "")) or next(iter(found.values()), None) or abort(404)
    sample = sample.made_anew()
    try:
        answer = deliver(definition, sample.body, {"Content-Type": sample.content_type, **sample.headers})
    except CannotSign as error:
        return _to(name, said=str(error))
    except NotReachable as error:
        return _to(name, said=f"{error}; set BRIDGE_RELAY_URL to where the relay is")
    changed("tested", name, f"sample {sample.name}: {answer.status}")
    return _to(name, answer=answer, said=answer.said)


def deliver(webhook: Webhook, body: bytes, headers: Mapping[str, str], method: str = "POST", query: str = "") -> Answer:
    """Posts the delivery to the relay, signed as the platform would. Raises CannotSign and NotReachable."""
    return _post_until_known(*for_relay(webhook, source().settings, body, headers, method, query), wait_of(webhook))


def _post_until_known(url: str, draft: Any, wait: float) -> Answer:
    """Retries while the relay hasn't read a definition that was just written: then it doesn't know the webhook, or not
    its new secret."""
    until = time.monotonic() + _TAKEN_UP_WITHIN
    while (answer := post(url, draft, wait)).status == 404 and time.monotonic() < until:
        time.sleep(0.5)
    if answer.status == 401 and (left := _until_read()) > 0:
        time.sleep(left)  # rather than trying again and again: each try leaves a rejection
        answer = post(url, draft, wait)
    return answer


def _until_read() -> float:
    """Seconds until the relay has surely read the newest file of definitions; not positive if it has."""
    path = source().settings.bridge_webhooks
    try:
        files = files_in(path) if path.is_dir() else [path]
        newest = max((file.stat().st_mtime for file in files), default=0.0)
        return min(newest + _READ_WITHIN - time.time(), _READ_WITHIN)  # a file may be of the future
    except OSError:  # it is being replaced
        return _READ_WITHIN


# --- change and delete --------------------------------------------------------------------------------------


@blueprint.get("/webhooks/<name>/edit")
def edit(name: str) -> Response:
    written = _written(name)
    return edit_page(written, masked(written.entry.text), written.version)


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
    except UnknownSecret as error:
        return edit_page(written, text, version, status=422, problem=str(error))
    except CantWrite as error:
        return edit_page(written, text, version, status=409, problem=str(error))
    except Changed as error:
        problem = f"{error}. Below are what you typed and what the file says now; save again to replace that."
        return edit_page(written, text, written.version, None, 409, problem=problem, now=masked(written.entry.text))
    changed("edited", name)
    return _to(name)


@blueprint.post("/webhooks/<name>/secret")
def rotate(name: str) -> Response:
    """Adds a new secret, or value of a header, before the old one, or the first secret, or removes the old ones."""
    written, header = _written(name), request.form.get("header") or None
    version = request.form.get("version", "")
    if request.form.get("do") == "forget":
        remove_old(folder(), written, header, version)
        changed("removed the old secret", name, header or "")
        return _to(name)
    try:
        rotated = rotate_proof(folder(), written, header, request.form.get("secret", "").strip(), version)
    except ValueMissing as error:
        return webhook_page(name, 422, secret_problem=str(error))
    except Invalid as error:
        return webhook_page(name, 422, secret_problem="; ".join(problem.what for problem in error.problems))
    changed("added a secret" if rotated.added else "rotated the secret", name, header or "")
    return _to(name, secret=rotated.made_up, **{"added" if rotated.added else "rotated": True})


@blueprint.post("/webhooks/<name>/pause")
def pause(name: str) -> Response:
    """Pauses or resumes the webhook: that is kept in the store, so no definition is written."""
    (operations.resume if request.form.get("do") == "resume" else operations.pause)(bridge(), name)
    return _to(name)


@blueprint.get("/webhooks/<name>/delete")
def ask_delete(name: str) -> str:
    return _delete_page(name, _written(name))


@blueprint.post("/webhooks/<name>/delete")
def delete(name: str) -> Response | tuple[str, int]:
    written = _written(name)
    if request.form.get("confirm", "").strip() != name:
        return _delete_page(name, written, wrong=True), 422
    folder().delete(name, request.form.get("version", ""))
    changed("deleted", name)
    forget(bridge().store.facts, name)
    return make_response(redirect(url_for("pages.overview"), 303))


def _delete_page(name: str, written: Written, wrong: bool = False) -> str:
    return render(
        "delete.html", name=name, written=written, wrong=wrong, is_paused=name in bridge().store.pauses.paused()
    )


@blueprint.get("/changes")
def changes() -> str:
    return render("changes.html", changes=bridge().store.changes.newest(limit=_CHANGES), most=_CHANGES)


def _to(name: str, **note: Any) -> Response:
    """Leads on to the webhook's page, which then says what is in the note."""
    left = flash_messages().leave(g.cookie, name, note) if note else None
    return make_response(redirect(url_for("webhooks.webhook", name=name, note=left), 303))


class Runnable(NamedTuple):
    """A workflow to run."""

    workflow: str
    version: int | None
    """None for the latest."""

    @property
    def key(self) -> str:
        """What a form sends to name it."""
        return json.dumps(self)

    @property
    def label(self) -> str:
        """The name, and the version if it is a certain one."""
        return self.workflow if self.version is None else f"{self.workflow}, version {self.version}"


def runnable(webhook: Webhook) -> list[Runnable]:
    """The workflows that the webhook resumes, starts or gives messages, each in the versions that it names."""
    received = (
        Runnable(workflow, version)
        for workflow, versions in webhook.receivers.items()
        for version in (sorted(versions) if versions else [None])
    )
    started = (Runnable(start.workflow, start.version) for start in webhook.starts)
    given = (Runnable(message.workflow, message.version) for message in webhook.messages)
    return list(dict.fromkeys([*received, *started, *given]))
