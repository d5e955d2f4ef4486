"""Platforms for the loader's tests, one of each kind of rules: as `platforms` has them, which a test holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Rules:
    name: str
    required: frozenset[str] = frozenset()
    options: frozenset[str] = frozenset()
    challenge_only: bool = False
    challenge_settings: frozenset[str] = frozenset()
    vendor_keys: bool = False
    pinned_by: tuple[str, ...] = ()
    find_secret_problem: Callable[[str], str | None] | None = None


_SECRET = frozenset({"secret"})
_OPTIONS = frozenset({"signature", "dedup"})

PLATFORMS = {
    rules.name: rules
    for rules in (
        Rules("custom", options=_OPTIONS | {"challenge"}),
        Rules("github", _SECRET, _OPTIONS),
        Rules("slack", _SECRET, _OPTIONS, challenge_only=True),
        Rules(
            "facebook",
            _SECRET,
            _OPTIONS | {"verify_token"},
            challenge_only=True,
            challenge_settings=frozenset({"verify_token"}),
        ),
        Rules("stripe", _SECRET, _OPTIONS),
        Rules(
            "aws-sns",
            options=_OPTIONS | {"topic"},
            vendor_keys=True,
            pinned_by=("topic", "x-amz-sns-topic-arn"),
        ),
        Rules(
            "sendgrid",
            _SECRET,
            _OPTIONS,
            find_secret_problem=lambda text: None if text.startswith("MF") else "write the public key in base64",
        ),
        Rules("google-pubsub", frozenset({"audience", "service_account"}), _OPTIONS, vendor_keys=True),
    )
}
