"""Runs a webhook's workflow with an input of one's own, and follows it: one short call to Conductor for each view."""

from __future__ import annotations

import time
import uuid

from flask import Blueprint, Response, abort, make_response, redirect, request, url_for

from admin.errors import NotFound
from admin.page.context import changed, source
from admin.page.pages import render
from admin.page.webhooks import check_may_write, defined, runnable, webhook_page
from config.webhooks import Webhook
from platforms.bodies import MalformedBody, read_json
from worker.conductor.errors import ConductorError, OutcomeUnknown
from worker.conductor.responses import Progress

blueprint = Blueprint("runs", __name__)

_TASKS_SHOWN = 100
_SOONEST, _LATEST = 2, 30
"""Seconds after which a page that follows a workflow is loaded again: soon at first, then ever later."""
_AFTER_FAILURE = 10
"""The same if Conductor couldn't tell: each such view may hold one of the page's few threads for seconds."""


@blueprint.post("/webhooks/<name>/run")
def run(name: str) -> Response:
    """Starts the workflow, and leads to the page that follows it."""
    check_may_write()
    webhook = defined(name)
    chosen = next((one for one in runnable(webhook) if one.key == request.form.get("workflow")), None)
    if chosen is None:
        abort(409, "the webhook no longer has this workflow: open its page again")
    text = request.form.get("input", "")
    correlation_id = f"run-by-hand-{uuid.uuid4().hex}"
    try:
        if not isinstance(read_json(text.strip() or "{}"), dict):
            raise MalformedBody("the input is not a JSON object, such as {}")
        workflow_id = source().conductor.start(chosen.workflow, chosen.version, text.strip() or "{}", correlation_id)
    except MalformedBody as error:
        problem = str(error).replace("the body", "the input")
    except OutcomeUnknown as error:
        problem = f"It may have been started: look in Conductor for correlation id {correlation_id}. {error}"
    except ConductorError as error:
        problem = f"It was not started: {error}"
    else:
        changed("ran a workflow of", name, f"{chosen.label}: {workflow_id}")
        return make_response(redirect(url_for(".follow", name=name, workflow_id=workflow_id), 303))
    return webhook_page(name, 422, input=text, chosen=chosen.key, not_run=problem)


@blueprint.get("/webhooks/<name>/runs/<workflow_id>")
def follow(name: str, workflow_id: str) -> Response:
    """How far the workflow has come. The browser asks again until it has ended: no thread waits for it."""
    if not source().settings.bridge_admin_writes:
        raise NotFound("workflows can't be run here")
    webhook = defined(name)
    progress, problem = None, None
    try:
        progress = _progress(webhook, workflow_id)
    except ConductorError as error:
        problem = f"Conductor can't say now: {error}"
    ended = progress is not None and progress.has_ended
    following = not ended and request.args.get("follow") != "no"
    text = render(
        "run.html",
        webhook=webhook,
        workflow_id=workflow_id,
        progress=progress,
        tasks=progress.tasks[-_TASKS_SHOWN:] if progress else (),
        problem=problem,
        following=following,
        ended=ended,
    )
    response = make_response(text)
    if following:  # a header, as the page has no script
        response.headers["Refresh"] = str(_pause(progress))
    return response


def _progress(webhook: Webhook, workflow_id: str) -> Progress:
    """Raises NotFound for what isn't one of the webhook's workflows, and ConductorError."""
    progress = source().conductor.progress(workflow_id)
    if progress is None or progress.workflow not in {one.workflow for one in runnable(webhook)}:
        raise NotFound(f"no workflow {workflow_id} of {webhook.name} is in Conductor")
    return progress


def _pause(progress: Progress | None) -> int:
    if progress is None:
        return _AFTER_FAILURE
    age = time.time() - (progress.started_at or 0) / 1000
    return round(min(_LATEST, max(_SOONEST, age / 10)))
