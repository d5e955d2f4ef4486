"""The form that creates a webhook, with the YAML that would be written beside it; and a webhook's YAML to edit."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from flask import Response, make_response

from admin.check.advice import sample_events
from admin.definitions.fields import FIELDS, FURTHER, Field, Group
from admin.definitions.forms import START_PARTS, WebhookForm, receiver_line
from admin.definitions.values import as_yaml, preview
from admin.definitions.writer import Change, DefinitionsFolder, Invalid, NameTaken, Written
from admin.explain.inputs import inputs_to_try
from admin.page.context import source
from admin.page.pages import bridge, render
from config.webhooks import Definitions, Problem, Webhook
from platforms import PLATFORMS
from platforms.guide import Guide
from worker.workflow_definitions.check import check_workflows

_COMPARED = 3.0
"""Seconds for reading the definitions of a webhook's workflows."""


def form_page(form: WebhookForm, guide: Guide, keys: dict[str, Any] | None = None, status: int = 200) -> Response:
    """The form of a new webhook."""
    keys = form.keys(guide) if keys is None else keys
    here = bridge()
    catalogue = source().workflows.catalogue()
    yaml, change = _preview(form, keys)
    waiting = here.store.queries.waiting_by_workflow()
    unserved = sorted(set(waiting) - set(here.definitions.by_receiver))
    suggestions = (*unserved, *sorted(waiting), *sorted(here.definitions.by_receiver))
    if not form.name and status == 200:
        form.errors = {}  # nobody wants complaints before having typed anything
    text = render(
        "new.html",
        form=form,
        guide=guide,
        yaml=yaml,
        offer=offer(form, catalogue.versions, suggestions),
        rows=[*form.starts, dict.fromkeys(START_PARTS, "")],
        catalogue=catalogue,
        fields=_fields(guide),
        further=FURTHER,
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


def _fields(guide: Guide) -> dict[Group, list[Field]]:
    """The fields that the form has, by group."""
    found: dict[Group, list[Field]] = {}
    for one in FIELDS:
        if one.fits(guide.platform) and (one.group == "own" or one.group in guide.platform.proofs):
            found.setdefault(one.group, []).append(one)
    return found


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


_FOUND = 50
"""Workflows that a search shows, at most."""
_SUGGESTED = 15
"""Workflows that are suggested without a search, at most."""


def take_search(form: WebhookForm, known: Collection[str], is_final: bool) -> None:
    """Makes what was looked for a receiver, unless it is only a part of the names of workflows that are known.

    `known`: Conductor's workflows, empty if it can't be asked. `is_final`: the form is to be saved, and then a mere
    part of a name is an error.
    """
    if form.search and not _found(form, known):
        form.chosen.append(receiver_line(form.search, form.search_versions or "any"))
        form.search = form.search_versions = ""
    elif form.search and is_final:
        text = f"no workflow is named {form.search}: tick one of those that contain it, or empty this field"
        form.search_problem = text
    form.chosen = list(dict.fromkeys(form.chosen))


def _found(form: WebhookForm, known: Collection[str]) -> list[str]:
    if not form.search or form.search in known:
        return []
    return sorted(name for name in known if form.search.lower() in name.lower())


@dataclass(frozen=True)
class Offer:
    """Receivers to tick, as they are typed: `NAME`, or `NAME: 1, 2`."""

    chosen: list[str]
    found: list[str]
    """What was looked for."""
    left_out: int
    """How many more contain it."""
    suggested: list[str]


def offer(form: WebhookForm, known: Collection[str], suggestions: Iterable[str]) -> Offer:
    """What the form shows, every workflow once."""
    found = [name for name in _found(form, known) if name not in form.chosen]
    shown = {*form.chosen, *found}
    suggested = [one for one in dict.fromkeys(suggestions) if one not in shown]
    return Offer(form.chosen, found[:_FOUND], max(0, len(found) - _FOUND), suggested[:_SUGGESTED])
