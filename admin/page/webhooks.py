"""One webhook: its page, test events, and runs of its workflows."""

from __future__ import annotations

import re
import time
import uuid
from typing import Any, NamedTuple

from flask import Blueprint, Response, abort, make_response, redirect, request, url_for

from admin import operations
from admin.bridge import Bridge
from admin.definitions.entry_text import files_in
from admin.definitions.rotation import may_add_secret, proofs_of
from admin.definitions.writer import DefinitionsFolder, Written
from admin.events.deliveries import of_sample
from admin.events.send import Answer, NotReachable, for_relay, post
from admin.page.access import NotAllowed
from admin.page.charts import charts
from admin.page.context import check_admin, source
from admin.page.pages import bridge, render, rows_of, with_own_scripts
from admin.page.times import zone
from admin.setup_steps import how_to_try, prompts, setup_steps
from admin.urls import url_of
from config.references import may_hold_reference, stamp_of
from config.webhooks import Webhook
from platforms.bodies import MalformedBody, read_json
from platforms.guide import guides, samples
from platforms.verifiers import CannotSign
from store.delivery_records import RawDelivery
from store.records import Task
from store.sql.event_search import EventFilter
from worker.conductor.errors import ConductorError, OutcomeUnknown

blueprint = Blueprint("webhooks", __name__)

_TASKS_SHOWN = 5
"""Waiting tasks on a webhook's page, at most."""
_READ_WITHIN = 5.0
"""Seconds within which a running relay has read a new definition."""


def check_may_write() -> None:
    """Raises NotAllowed, naming the setting, if definitions may not be written, and workflows not
    run."""
    check_admin("change something")
    if not source().settings.bridge_admin_writes:
        raise NotAllowed(
            "definitions can't be written and workflows can't be run here: set"
            " BRIDGE_ADMIN_WRITES=on, and BRIDGE_WEBHOOKS to a folder"
        )


def folder() -> DefinitionsFolder:
    """The folder of definitions. Raises NotAllowed, naming the setting, if they may not be
    written."""
    check_may_write()
    return DefinitionsFolder(source().settings.bridge_webhooks)


def is_in_force(written: Written) -> bool:
    """Whether what the file says is in force. If it has errors, a secret may stand anywhere in it,
    so none of it may be shown; one that this process can't look up does no harm."""
    definitions = bridge().definitions
    if definitions.sources.get(written.file) != stamp_of(written.file):
        return False
    places = (
        problem.where.partition(": ")[2]
        for problem in definitions.errors
        if problem.file == str(written.file)
    )
    return all(
        may_hold_reference(tuple(filter(None, re.split(r"\.|\[\d+\]", place)))) for place in places
    )


# --- one webhook ---


@blueprint.get("/webhooks/<name>", endpoint="webhook")
def webhook_page(name: str, status: int = 200, **more: Any) -> Response:
    """The webhook's page; `more` is what a form on it has led to."""
    here = bridge()
    definition = here.webhook(name)
    guide = guides()[definition.platform]
    waiting = here.store.queries.waiting_by_workflow()
    written = None
    if here.settings.bridge_admin_writes:
        written = DefinitionsFolder(here.settings.bridge_webhooks).find(name)
    if written is not None and not is_in_force(written):
        written = None
    text = render(
        "webhook.html",
        webhook=definition,
        guide=guide,
        setup=setup_steps(definition, guide),
        prompts=list(
            prompts(definition, guide, url_of(definition, here.settings), more.get("secret"))
        ),
        url=url_of(definition, here.settings),
        has_public_url=bool(definition.public_url or here.settings.bridge_public_url),
        verified_at=here.verified_at().get(name),
        samples=list(samples(definition.platform)),
        how_to_try=how_to_try(definition, url_of(definition, here.settings)),
        written=written,
        yaml=written.shown if written else None,
        proofs=proofs_of(written.keys) if written else [],
        errors=[one for one in here.definitions.errors if one.webhook == name],
        risks=[one for one in here.definitions.warnings if one.webhook == name],
        may_add_secret=written is not None and may_add_secret(written.keys, guide),
        events=rows_of(here, here.events(EventFilter(webhook=name, limit=10))),
        charts=charts(here.store.queries, here.store.now(), zone(), name),
        tasks=_waiting_tasks(here, definition),
        waiting=sum(waiting.get(workflow, 0) for workflow in definition.receivers),
        changes=here.store.changes.newest(name, 10),
        paused_at=here.store.pauses.paused().get(name),
        rejections=here.store.without_events.rejections(name, 1),
        filtered=here.store.without_events.rejections(name, 1, filtered=True),
        runnable=runnable(definition),
        **more,
    )
    return with_own_scripts(text, status)


def _waiting_tasks(here: Bridge, webhook: Webhook) -> list[Task]:
    """Some tasks of each receiver, those that have waited longest first."""
    found = [
        task
        for workflow in webhook.receivers
        for task in here.store.queries.waiting_tasks("", _TASKS_SHOWN, workflow)
    ]
    return sorted(found, key=lambda task: task.scheduled_at)[:_TASKS_SHOWN]


@blueprint.post("/webhooks/<name>/test")
def test(name: str) -> Response:
    definition = bridge().webhook(name)
    found = samples(definition.platform)
    sample = (
        found.get(request.form.get("sample", "")) or next(iter(found.values()), None) or abort(404)
    )
    try:
        answer = deliver(definition, of_sample(definition, sample))
    except CannotSign as error:
        return webhook_page(name, said=str(error))
    except NotReachable as error:
        return webhook_page(name, said=f"{error}; set BRIDGE_RELAY_URL to where the relay is")
    bridge().record("tested", name, f"sample {sample.name}: {answer.status}")
    return webhook_page(name, answer=answer, said=answer.said)


def deliver(webhook: Webhook, delivery: RawDelivery) -> Answer:
    """Posts the delivery to the relay, signed as the platform would. Raises CannotSign and
    NotReachable.

    Once more, if the relay may not have read the definition: then it doesn't know the webhook, or
    not its new secret.
    """
    sent = for_relay(webhook, source().settings, delivery)
    answer = post(*sent)
    if answer.status in (401, 404) and (left := _until_read()) > 0:
        time.sleep(left)
        answer = post(*sent)
    return answer


def _until_read() -> float:
    """Seconds until the relay has surely read the newest file of definitions; not positive if it
    has."""
    path = source().settings.bridge_webhooks
    try:
        newest = max((file.stat().st_mtime for file in files_in(path)), default=0.0)
        return min(newest + _READ_WITHIN - time.time(), _READ_WITHIN)  # a file may be of the future
    except OSError:  # it is being replaced
        return _READ_WITHIN


@blueprint.post("/webhooks/<name>/pause")
def pause(name: str) -> Response:
    """Pauses or resumes the webhook: that is kept in the store, so no definition is written."""
    (operations.resume if request.form.get("do") == "resume" else operations.pause)(bridge(), name)
    return to_page(name)


def to_page(name: str) -> Response:
    """Leads on to the webhook's page."""
    return make_response(redirect(url_for("webhooks.webhook", name=name), 303))


class Runnable(NamedTuple):
    """A workflow to run."""

    workflow: str
    version: int | None
    """None for the latest."""

    @property
    def label(self) -> str:
        """The name, and the version if it is a certain one: for people, and for the form."""
        return self.workflow if self.version is None else f"{self.workflow}, version {self.version}"


def runnable(webhook: Webhook) -> list[Runnable]:
    """The workflows that the webhook resumes, starts or gives messages, each in the versions that
    it names."""
    received = (
        Runnable(workflow, version)
        for workflow, versions in webhook.receivers.items()
        for version in (sorted(versions) if versions else [None])
    )
    started = (Runnable(start.workflow, start.version) for start in webhook.starts)
    given = (Runnable(message.workflow, message.version) for message in webhook.messages)
    return list(dict.fromkeys([*received, *started, *given]))


@blueprint.post("/webhooks/<name>/run")
def run(name: str) -> Response:
    """Starts the workflow, and says which it is."""
    check_may_write()
    webhook = bridge().webhook(name)
    chosen = next(
        (one for one in runnable(webhook) if one.label == request.form.get("workflow")), None
    )
    if chosen is None:
        abort(409, "the webhook no longer has this workflow: open its page again")
    text = request.form.get("input", "")
    correlation_id = f"run-by-hand-{uuid.uuid4().hex}"
    try:
        if not isinstance(read_json(text.strip() or "{}"), dict):
            raise MalformedBody("the input is not a JSON object, such as {}")
        workflow_id = source().conductor.start(
            chosen.workflow, chosen.version, text.strip() or "{}", correlation_id
        )
    except MalformedBody as error:
        problem = str(error).replace("the body", "the input")
    except OutcomeUnknown as error:
        problem = (
            f"It may have been started: look in Conductor for correlation id {correlation_id}."
            f" {error}"
        )
    except ConductorError as error:
        problem = f"It was not started: {error}"
    else:
        bridge().record("ran a workflow of", name, f"{chosen.label}: {workflow_id}")
        return webhook_page(name, run=workflow_id)
    return webhook_page(name, 422, input=text, chosen=chosen.label, not_run=problem)
