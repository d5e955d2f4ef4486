"""The form that creates or changes a webhook, with the YAML that would be written beside it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from flask import Response, make_response

from admin.check.sample_events import sample_events
from admin.conductor import Catalogue
from admin.definitions.editing import form_of
from admin.definitions.fields import FIELDS, FURTHER, SECTIONS, Field, Group, as_yaml
from admin.definitions.forms import START_PARTS, WebhookForm
from admin.definitions.values import preview
from admin.definitions.writer import DefinitionsFolder, Invalid, NameTaken, Written
from admin.explain.inputs import inputs_to_try
from admin.page.context import source
from admin.page.pages import bridge, render
from admin.page.receivers import offer
from config.webhooks import Definitions, Problem, Webhook
from platforms import PLATFORMS
from platforms.guide import Guide
from worker.workflow_definitions.check import check_workflows

_COMPARED = 3.0
"""Seconds for reading the definitions of a webhook's workflows."""


def form_page(
    template: str,
    form: WebhookForm,
    guide: Guide,
    keys: dict[str, Any] | None = None,
    status: int = 200,
    **more: Any,
) -> Response:
    """The page. `more` of a webhook that is edited: `written`, and `proofs`, the groups of fields that it has."""
    keys = form.keys(guide) if keys is None else keys
    here = bridge()
    catalogue = source().workflows.catalogue()
    yaml, warnings, changed_to = _preview(form, keys, catalogue, more.get("written"))
    input_event, inputs = inputs_to_try(here, changed_to) if changed_to is not None else (None, [])
    waiting = here.store.queries.waiting_by_workflow()
    unserved = sorted(set(waiting) - set(here.definitions.by_receiver))
    before = form_of(more["written"].keys).chosen if "written" in more else []
    suggestions = (*before, *unserved, *sorted(waiting), *sorted(here.definitions.by_receiver))
    if not form.name and status == 200:
        form.errors = {}  # nobody wants complaints before having typed anything
    fields = _fields(guide, more.get("proofs"))
    if "written" in more:
        _say_elsewhere(form, fields)
    rows = [*form.starts, dict.fromkeys(START_PARTS, "")]
    text = render(
        template,
        form=form,
        guide=guide,
        yaml=yaml,
        warnings=warnings,
        offer=offer(form, catalogue.versions, suggestions),
        rows=rows,
        catalogue=catalogue,
        fields=fields,
        sections=SECTIONS,
        further=FURTHER,
        input_event=input_event,
        inputs=inputs,
        **more,
    )
    return make_response(text, status)


def _fields(guide: Guide, proofs: Collection[Group] | None) -> dict[Group, list[Field]]:
    """The fields that the form has, by group. `proofs`: the kinds of proof of a webhook that is edited."""
    found: dict[Group, list[Field]] = {}
    for one in FIELDS:
        shown = one.group in (guide.platform.proofs if proofs is None else proofs)
        if one.fits(guide.platform) and (shown or one.group == "own" or one.group in SECTIONS):
            found.setdefault(one.group, []).append(one)
    return found


def _say_elsewhere(form: WebhookForm, fields: dict[Group, list[Field]]) -> None:
    """What is wrong where Edit has no field, such as in a secret, is said above the form."""
    shown = {one.name for group in fields.values() for one in group} | {"receiver", "receivers", "more", ""}
    elsewhere = [name for name in form.errors if name not in shown and not name.startswith("start_")]
    for name in elsewhere:
        said = f"{form.errors.pop(name)} ({name})"
        form.errors[""] = f"{form.errors['']}; {said}" if "" in form.errors else f"Not saved yet: {said}"


def _preview(
    form: WebhookForm, keys: dict[str, Any], catalogue: Catalogue, written: Written | None
) -> tuple[str, tuple[str, ...], Webhook | None]:
    """The YAML that would be written, the warnings about it, and what it would define; None if it has errors."""
    here = DefinitionsFolder(source().settings.bridge_webhooks, PLATFORMS)
    try:
        change = here.plan(keys, written)
    except Invalid as error:
        form.place(error.problems)
    except NameTaken as error:
        form.errors.setdefault("name", f"{error}; choose another name")
    else:
        warnings = (*change.warnings, *_about_workflows(change.webhook, catalogue))
        return change.yaml, tuple(f"{warning.what}; {warning.remedy}" for warning in warnings), change.webhook
    return as_yaml({"webhooks": [preview(keys)]}), (), None


def _about_workflows(webhook: Webhook | None, catalogue: Catalogue) -> tuple[Problem, ...]:
    """What of the webhook doesn't fit the workflows that Conductor has, if it can be asked."""
    if webhook is None or catalogue.failure:
        return ()
    left = source().settings.bridge_leave_to_conductor
    return check_workflows(
        source().conductor, Definitions((webhook,)), catalogue.versions, sample_events, _COMPARED, left
    ).problems
