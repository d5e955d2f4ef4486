"""The form that creates a webhook, with the YAML that would be written beside it; and a webhook's YAML to edit."""

from __future__ import annotations

from typing import Any

from flask import Response, make_response

from admin.definitions.forms import KINDS, WebhookForm
from admin.definitions.values import as_yaml, preview
from admin.definitions.writer import Change, DefinitionsFolder, Invalid, NameTaken, Written
from admin.events.event_or_sample import sample_events
from admin.explain.inputs import inputs_to_try
from admin.page.context import source
from admin.page.pages import bridge, render
from config.webhooks import Definitions, Problem, Webhook
from platforms import PLATFORMS
from worker.workflow_definitions.check import check_workflows

_COMPARED = 3.0
"""Seconds for reading the definitions of a webhook's workflows."""
_SUGGESTED = 15
"""Workflows that are suggested, at most."""


def form_page(form: WebhookForm, keys: dict[str, Any], status: int = 200) -> Response:
    """The form of a new webhook."""
    here = bridge()
    catalogue = source().workflows.catalogue()
    yaml, change = _preview(form, keys)
    if not form.name and status == 200:
        form.errors = {}  # nobody wants complaints before having typed anything
    waiting = here.store.queries.waiting_by_workflow()
    receivers = here.definitions.by_receiver
    suggested = dict.fromkeys((*sorted(set(waiting) - set(receivers)), *sorted(waiting), *sorted(receivers)))
    text = render(
        "new.html",
        form=form,
        guide=form.guide,
        kinds={kind: KINDS[kind].label for kind in form.proofs},
        yaml=yaml,
        suggested=[one for one in suggested if one not in form.receivers][:_SUGGESTED],
        catalogue=catalogue,
        **_what_it_does(change),
    )
    return make_response(text, status)


def edit_page(
    written: Written, text: str, version: str, change: Change | None = None, status: int = 200, **more: Any
) -> Response:
    """The page on which a webhook's YAML is edited. `change`: what its check has found; `more`: what is wrong."""
    rendered = render(
        "edit.html",
        written=written,
        text=text,
        version=version,
        checked=change is not None,
        **_what_it_does(change),
        **{"problems": (), "problem": None, "now": None, **more},
    )
    return make_response(rendered, status)


def _what_it_does(change: Change | None) -> dict[str, Any]:
    """The warnings about a change that passed the checks, and what its workflows would get of the newest event."""
    if change is None:
        return {"warnings": (), "input_event": None, "inputs": []}
    warnings = (*change.warnings, *_about_workflows(change.webhook))
    event, inputs = inputs_to_try(bridge(), change.webhook) if change.webhook is not None else (None, [])
    said = tuple(f"{warning.what}; {warning.remedy}" for warning in warnings)
    return {"warnings": said, "input_event": event, "inputs": inputs}


def _preview(form: WebhookForm, keys: dict[str, Any]) -> tuple[str, Change | None]:
    """The YAML that would be written, and the change; None if it has errors."""
    try:
        change = DefinitionsFolder(source().settings.bridge_webhooks, PLATFORMS).plan(keys)
    except Invalid as error:
        form.place(error.problems)
    except NameTaken as error:
        form.errors.setdefault("name", f"{error}; choose another name")
    else:
        return change.yaml, change
    return as_yaml({"webhooks": [preview(keys)]}), None


def _about_workflows(webhook: Webhook | None) -> tuple[Problem, ...]:
    """What of the webhook doesn't fit the workflows that Conductor has, if it can be asked."""
    if webhook is None:
        return ()
    named = {*webhook.receivers, *(start.workflow for start in webhook.starts)}
    catalogue = source().workflows.catalogue(named | {message.workflow for message in webhook.messages})
    if catalogue.failure:
        return ()
    left = source().settings.bridge_leave_to_conductor
    return check_workflows(
        source().conductor, Definitions((webhook,)), catalogue.versions, sample_events, _COMPARED, left
    ).problems
