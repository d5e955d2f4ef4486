"""The route by which workflows and programs ask for URLs that complete a task."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, abort

from admin.api.callbacks import Callback, ToCallBack
from admin.api.openapi import answers
from admin.callbacks import callback_url
from admin.events.filters import check_webhook
from admin.page.pages import bridge
from config.durations import parse_duration

blueprint = Blueprint("callbacks", __name__, url_prefix="/api")


@blueprint.post("/callbacks")
@answers(Callback, 404, status=201)
def make(json: ToCallBack) -> Any:
    """Make a URL that completes one task, once; only with BRIDGE_ADMIN_TOKEN"""
    here, asked = bridge(), json
    check_webhook(here, asked.webhook)
    webhook = here.definitions.by_name.get(asked.webhook)
    if webhook is None:
        abort(404, f"the webhook {asked.webhook} is no longer defined")
    try:
        seconds = None if asked.expires is None else parse_duration(asked.expires)
    except ValueError as error:
        abort(400, f"expires: {error}")
    made = callback_url(
        webhook, here.settings, here.store.now(), asked.workflow_id, asked.task, asked.iteration, seconds
    )
    return Callback.of(made), 201
