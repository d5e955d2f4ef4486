"""What a platform asks of a definition, and what would leave its deliveries unproven."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from config.problems import Finding
from config.references import UNRESOLVED
from config.risks import secrets_at
from criteria.suggestions import did_you_mean

PLATFORM_SETTINGS = (
    "secret",
    "verify_token",
    "audience",
    "service_account",
    "topic",
    "signature",
    "challenge",
    "dedup",
)
"""Settings that only some platforms understand."""


class PlatformRules(Protocol):
    """What the loader must know of a platform; `platforms` has them all."""

    @property
    def name(self) -> str: ...

    @property
    def required(self) -> frozenset[str]:
        """Settings that a webhook of this platform needs, such as ``secret``."""

    @property
    def options(self) -> frozenset[str]:
        """Settings of their own kind that the platform understands beside the required ones."""

    @property
    def challenge_only(self) -> bool:
        """Whether an answered challenge can stand in for the secret."""

    @property
    def challenge_settings(self) -> frozenset[str]:
        """Settings without which the platform's challenge can't be answered."""

    @property
    def vendor_keys(self) -> bool:
        """Whether deliveries are proven by public keys that are fetched from the vendor."""

    @property
    def pinned_by(self) -> tuple[str, ...]:
        """A setting, and lower-case names of headers, of which one must say whose deliveries are taken; none where the
        vendor signs for nobody else."""

    @property
    def find_secret_problem(self) -> Callable[[str], str | None] | None:
        """What a secret should be, if this one can't be used."""


def find_unproven(webhook: Mapping[str, Any], platforms: Mapping[str, PlatformRules]) -> Iterator[Finding]:
    """What is wrong, or risky, in how a webhook proves its deliveries; `webhook` is as written, references resolved."""
    platform = webhook.get("platform", "custom")
    if not isinstance(platform, str) or not platform or UNRESOLVED in platform:
        return
    rules = platforms.get(platform)
    if rules is None:
        yield Finding(("platform",), f"unknown platform {platform!r}", did_you_mean(platform, sorted(platforms)))
        return
    given = {setting for setting in PLATFORM_SETTINGS if setting in webhook}
    for setting in sorted(given - rules.required - rules.options):
        understood = ", ".join(sorted(rules.required | rules.options)) or "none of these settings"
        what = f"platform {rules.name} has no `{setting}`"
        yield Finding((setting,), what, f"remove it ({rules.name} understands {understood})")
    if rules.find_secret_problem is not None:
        for place, secret in secrets_at(webhook, "secret"):
            should_be = rules.find_secret_problem(secret)
            if should_be is not None:
                yield Finding(place, f"a secret that {rules.name} can't use", should_be)
    if webhook.get("verifier") != "none":
        yield from _missing(webhook, rules, given)
        yield from _unpinned(webhook, rules)


def _unpinned(webhook: Mapping[str, Any], rules: PlatformRules) -> Iterator[Finding]:
    headers = webhook.get("headers")
    named = {name.lower() for name in headers if isinstance(name, str)} if isinstance(headers, Mapping) else set()
    if rules.pinned_by and not (named | set(webhook)) & set(rules.pinned_by):
        setting = rules.pinned_by[0]
        yield Finding(
            ("platform",),
            f"no `{setting}`: {rules.name} signs for everybody, so whoever has an account there can post",
            f"add {setting}: with yours",
            warning=True,
            fails_check=True,
        )


def _missing(webhook: Mapping[str, Any], rules: PlatformRules, given: set[str]) -> Iterator[Finding]:
    signed = bool(given & {"secret", "signature"})
    verified = signed or "headers" in webhook
    missing = rules.required - given
    unanswerable = rules.challenge_settings - given
    if rules.challenge_only or "challenge" in webhook:
        missing -= {"secret"}
        if not verified and unanswerable:
            missing |= unanswerable
        elif unanswerable:
            yield Finding(
                ("platform",),
                f"no {' and '.join(sorted(unanswerable))}: the challenge can't be answered, without which "
                f"{rules.name} sends nothing to a new URL",
                " and ".join(f"add {setting}: ${{NAME}}" for setting in sorted(unanswerable)),
                warning=True,
            )
        elif not verified:
            yield Finding(
                ("platform",),
                "no signing secret: once the challenge has come, anyone who knows the URL can post",
                "add secret: ${NAME}" if "secret" in rules.required | rules.options else "add signature: or headers:",
                warning=True,
            )
        elif not signed and "secret" in rules.required:
            yield Finding(
                ("platform",),
                f"no signing secret: nothing but its headers proves a delivery, though {rules.name} signs",
                "add secret: ${NAME}",
                warning=True,
            )
    elif not verified and not rules.required and not rules.vendor_keys:
        yield Finding(
            ("platform",),
            "nothing verifies its deliveries",
            "add headers: or signature:, or say verifier: none to accept anything",
        )
    elif "signature" in given:
        missing -= {"secret"}  # it stands in for the platform's own scheme
    for setting in sorted(missing):
        remedy = f"add {setting}: ${{NAME}}"
        if setting == "secret":
            remedy += (
                ", or say verifier: none if its headers alone are to prove a delivery"
                if verified
                else ", or say verifier: none to accept anything"
            )
        yield Finding((setting,), f"missing: platform {rules.name} needs it", remedy)
