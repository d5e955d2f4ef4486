"""Explains what entries of `starts` and `messages` have in common: pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from admin.explain.context import Context, is_left
from config.webhooks import Message, Start
from criteria.conditions import Conditions
from criteria.descriptions import describe_criterion
from criteria.matches import BadMatches, Criterion
from store.hiding import Hidden, hidden


def what_prevents(
    entry: Start | Message, document: Mapping[str, Any], hide: Hidden, context: Context
) -> tuple[str | None, tuple[Criterion, ...]]:
    """Why the entry isn't for this document, None if it is; and what its `when` found, as people may see it."""
    if entry.workflow in context.left:
        return is_left(entry.workflow), ()
    try:
        criteria = hidden(Conditions.parse(entry.when).explain(document), document, hide)
    except BadMatches as error:
        return f"`when` can't be parsed: {error}", ()
    failed = next((criterion for criterion in criteria if not criterion.holds), None)
    return None if failed is None else describe_criterion(failed), criteria
