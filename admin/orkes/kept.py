"""What is stored about a webhook by its name for Orkes' API, besides its definition."""

from __future__ import annotations

from store.sql.facts import Facts

KINDS = ("tags", "orkes")
"""Its tags, and its client's own words for it: the facts ``KIND:NAME``."""


def forget(facts: Facts, webhook: str) -> None:
    """The webhook is gone, or is a new one that has nothing to do with an earlier one of its name."""
    for kind in KINDS:
        facts.set(f"{kind}:{webhook}", None)


def rename(facts: Facts, old: str, new: str) -> None:
    """The webhook has another name now."""
    known = facts.all()
    for kind in KINDS:
        facts.set(f"{kind}:{new}", known.get(f"{kind}:{old}"))
    forget(facts, old)
