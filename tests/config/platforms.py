"""Platforms made up for the loader's tests: one of each kind of rules."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rules:
    name: str
    required: frozenset[str] = frozenset()
    options: frozenset[str] = frozenset()
    challenge_only: bool = False


PLATFORMS = {
    rules.name: rules
    for rules in (
        Rules("custom", options=frozenset({"signature", "challenge", "dedup"})),
        Rules("github", required=frozenset({"secret"})),
        Rules("slack", required=frozenset({"secret"}), challenge_only=True),
        Rules("facebook", required=frozenset({"secret", "verify_token"}), challenge_only=True),
        Rules("google-pubsub", required=frozenset({"audience"}), options=frozenset({"service_account"})),
    )
}
