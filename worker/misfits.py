"""What of the definitions doesn't fit Conductor's workflows."""

from __future__ import annotations

from collections.abc import Sequence

from config.webhooks import Problem
from store.reports import Misfit

_NAMED = 5
"""Webhooks that are named for each misfit."""
_KEPT = 20
"""Misfits that are reported, as many as a list shows; of more, only their number is."""


def misfits_of(problems: Sequence[Problem]) -> list[Misfit]:
    """The problems, each once, however many webhooks it is about."""
    webhooks: dict[tuple[str, str], dict[str, None]] = {}
    for problem in problems:
        webhooks.setdefault((problem.what, problem.remedy), {})[problem.webhook] = None
    found = [
        Misfit(what, remedy, tuple(names)[:_NAMED], len(names))
        for (what, remedy), names in webhooks.items()
    ]
    if len(found) > _KEPT:
        found[_KEPT:] = [Misfit(f"and {len(found) - _KEPT} more", "webhook-bridge check", (), 0)]
    return found


def no_workflow(name: str) -> str:
    """What is said of a workflow that Conductor doesn't have."""
    return f"Conductor has no workflow {name}"
