"""Platforms made up for the loader's tests: one of each kind of rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Rules:
    name: str
    required: frozenset[str] = frozenset()
    options: frozenset[str] = frozenset()
    challenge_only: bool = False
    vendor_keys: bool = False
    find_secret_problem: Callable[[str], str | None] | None = None


PLATFORMS = {
    rules.name: rules
    for rules in (
        Rules("custom", options=frozenset({"signature", "challenge", "dedup"})),
        Rules("github", required=frozenset({"secret"})),
        Rules("slack", required=frozenset({"secret"}), challenge_only=True),
        Rules("facebook", required=frozenset({"secret", "verify_token"}), challenge_only=True),
        Rules("aws-sns", vendor_keys=True),
        Rules(
            "sendgrid",
            required=frozenset({"secret"}),
            find_secret_problem=lambda text: None if text.startswith("MF") else "write the public key in base64",
        ),
        Rules("google-pubsub", required=frozenset({"audience"}), options=frozenset({"service_account"})),
    )
}
