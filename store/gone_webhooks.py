"""Webhooks that disappeared from the definitions, as recorded in the store's facts."""

from __future__ import annotations

from collections.abc import Mapping

GONE_FOR = 24 * 3_600_000
"""Milliseconds for which people are told about one."""
_FACT = "webhook_gone:"


def gone_webhooks(facts: Mapping[str, str], now: int) -> dict[str, int]:
    """name → when it disappeared (Unix milliseconds), of those that people are still told about."""
    found = {
        name.removeprefix(_FACT): int(at) for name, at in facts.items() if name.startswith(_FACT) and at.isdecimal()
    }
    return {name: at for name, at in found.items() if now - at < GONE_FOR}


def facts_of_gone(facts: Mapping[str, str], gone: set[str], there: set[str], now: int) -> dict[str, str | None]:
    """The facts to set (None to delete one) for webhooks that just disappeared, exist, or disappeared long ago."""
    told = gone_webhooks(facts, now)
    old = {name: name.removeprefix(_FACT) for name in facts if name.startswith(_FACT)}
    changes: dict[str, str | None] = {fact: None for fact, name in old.items() if name in there or name not in told}
    return changes | {f"{_FACT}{name}": str(now) for name in gone - there - told.keys()}
