"""What of the definitions doesn't fit Conductor's workflows: once, however many webhooks it is
about."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from config.webhooks import Problem

FACT = "workflow_problems"
"""The fact in the store that `as_text` makes; absent if everything fits."""
_NAMED = 5
_KEPT = 20
"""Different problems that are kept, and how many more there are: as many as a list shows."""


@dataclass(frozen=True)
class Misfit:
    """One thing that doesn't fit, however many webhooks it is about."""

    what: str
    remedy: str
    webhooks: tuple[str, ...]
    """The first few of them."""
    number: int

    def __str__(self) -> str:
        if not self.webhooks:
            return f"{self.what}: {self.remedy}"
        more = (
            f" and {self.number - len(self.webhooks)} more"
            if self.number > len(self.webhooks)
            else ""
        )
        return f"{self.what}; {self.remedy} ({', '.join(self.webhooks)}{more})"


def as_text(problems: Sequence[Problem]) -> str | None:
    """The problems, each once, for the store; None if there are none."""
    webhooks: dict[tuple[str, str], dict[str, None]] = {}
    for problem in problems:
        webhooks.setdefault((problem.what, problem.remedy), {})[problem.webhook] = None
    found = [
        Misfit(what, remedy, tuple(names)[:_NAMED], len(names))
        for (what, remedy), names in webhooks.items()
    ]
    if len(found) > _KEPT:
        found[_KEPT:] = [Misfit(f"and {len(found) - _KEPT} more", "webhook-bridge check", (), 0)]
    return json.dumps(list(map(asdict, found))) if found else None


def misfits_in(text: str | None) -> list[Misfit]:
    """What `as_text` has written; the last one may say how many more there are."""
    return [
        Misfit(**{**one, "webhooks": tuple(one["webhooks"])}) for one in json.loads(text or "[]")
    ]


def no_workflow(name: str) -> str:
    """What is said of a workflow that Conductor doesn't have."""
    return f"Conductor has no workflow {name}"
