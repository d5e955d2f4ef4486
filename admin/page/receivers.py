"""Which workflows the form offers as receivers: those that are chosen, those that were looked for, and a few others."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from admin.definitions.forms import WebhookForm, receiver_line

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
