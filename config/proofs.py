"""What a platform requires of a definition, and what would leave its deliveries unproven."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from config.problems import ProblemAt
from config.references import UNRESOLVED
from config.risks import secrets_at
from criteria.suggestions import did_you_mean

if TYPE_CHECKING:  # the worker reads definitions without loading the platforms
    from platforms.base import Platform

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
"""Settings that only some platforms have."""


def find_unproven(
    webhook: Mapping[str, Any], platforms: Mapping[str, Platform]
) -> Iterator[ProblemAt]:
    """Errors and risks in how a webhook's deliveries are proven; `webhook` is as written, with
    references resolved."""
    name = webhook.get("platform", "custom")
    if not isinstance(name, str) or not name or UNRESOLVED in name:
        return
    platform = platforms.get(name)
    if platform is None:
        yield ProblemAt(
            ("platform",), f"unknown platform {name!r}", did_you_mean(name, sorted(platforms))
        )
        return
    given = {setting for setting in PLATFORM_SETTINGS if setting in webhook}
    for setting in sorted(given - platform.settings):
        understood = ", ".join(sorted(platform.settings))
        what = f"platform {platform.name} has no `{setting}`"
        yield ProblemAt((setting,), what, f"remove it ({platform.name} understands {understood})")
    if webhook.get("listen") is True and platform.secret_in_body:
        what = f"a delivery of {platform.name} has the secret in its body, which is never kept"
        yield ProblemAt(
            ("listen",), what, "remove it, and use a tunnel or a subscription of its own to develop"
        )
    for place, secret in secrets_at(webhook, "secret"):
        should_be = platform.find_secret_problem(secret)
        if should_be is not None:
            yield ProblemAt(place, f"a secret that {platform.name} can't use", should_be)
    if (
        webhook.get("callback") is not None
    ):  # its URLs are the proof; what it can't have besides is in the model
        return
    if (
        "keep_rejected" in webhook
        and (reason := _why_not_kept(webhook, platform, given)) is not None
    ):
        yield ProblemAt(
            ("keep_rejected",),
            f"what this webhook rejects can't be kept: {reason}",
            "remove keep_rejected",
        )
    if webhook.get("verifier") != "none":
        yield from _missing(webhook, platform, given)
        yield from _unpinned(webhook, platform)


def _is_answered(challenge: object) -> bool:
    """Whether a definition's `challenge` has a value that is answered; HEAD has none, and proves
    nothing."""
    return challenge is not None and not (
        isinstance(challenge, Mapping) and "name" not in challenge
    )


def _why_not_kept(webhook: Mapping[str, Any], platform: Platform, given: set[str]) -> str | None:
    """Why rejected deliveries must not be kept: they may hold a secret. None if they may, as only
    signatures count."""
    if webhook.get("verifier") == "none":
        return "nothing is verified, so nothing is rejected"
    for key, what in (("jwt", "the token"), ("mtls", "the client's certificate")):
        if key in webhook:
            return f"{what} is never stored, so what it proves couldn't be proven again"
    if "headers" in webhook:
        return "the values of `headers` are secrets, and a rejected delivery may carry one that is nearly right"
    if platform.vendor_keys:
        return (
            f"{platform.name} is verified by the vendor's keys, and no secret of yours can be wrong"
        )
    schemes = []
    if platform.verifier is not None and platform.required and platform.required <= given:
        schemes.append((platform.verifier.covers, getattr(platform.verifier, "header", "")))
    signature = webhook.get("signature")
    if isinstance(signature, Mapping):
        schemes.append((frozenset(), str(signature.get("header", ""))))
    if not schemes:
        return "no signature proves its deliveries"
    if any("sender" in covers for covers, _ in schemes):
        return f"{platform.name} sends a token, and a rejected delivery may carry one that is nearly right"
    if any(header.lower() == "authorization" for _, header in schemes):
        return "its proof is in the header Authorization, which may hold passwords and tokens"
    return None


def _unpinned(webhook: Mapping[str, Any], platform: Platform) -> Iterator[ProblemAt]:
    headers = webhook.get("headers")
    named = (
        {name.lower() for name in headers if isinstance(name, str)}
        if isinstance(headers, Mapping)
        else set()
    )
    if platform.pinned_by and not (named | set(webhook)) & set(platform.pinned_by):
        setting = platform.pinned_by[0]
        yield ProblemAt(
            ("platform",),
            f"no `{setting}`: {platform.name} signs for everyone, so anyone with an account there can post",
            f"add {setting}: with yours",
            warning=True,
            fails_check=True,
        )


def _missing(
    webhook: Mapping[str, Any], platform: Platform, given: set[str]
) -> Iterator[ProblemAt]:
    signed = bool(given & {"secret", "signature"})
    verified = signed or bool({"headers", "jwt", "mtls"} & set(webhook))
    missing = platform.required - given
    unanswerable = platform.challenge_settings - given
    if platform.challenge_only or _is_answered(webhook.get("challenge")):
        missing -= {"secret"}
        if not verified and unanswerable:
            missing |= unanswerable
        elif unanswerable:
            yield ProblemAt(
                ("platform",),
                f"no {' and '.join(sorted(unanswerable))}: the challenge can't be answered, without which "
                f"{platform.name} sends nothing to a new URL",
                " and ".join(f"add {setting}: ${{NAME}}" for setting in sorted(unanswerable)),
                warning=True,
            )
        elif not verified:
            yield ProblemAt(
                ("platform",),
                "no signing secret: once the challenge has come, anyone who knows the URL can post",
                "add secret: ${NAME}"
                if "secret" in platform.settings
                else "add signature:, headers: or jwt:",
                warning=True,
            )
        elif not signed and "secret" in platform.required:
            yield ProblemAt(
                ("platform",),
                f"no secret: nothing but its headers proves a delivery, though {platform.name} offers a better proof",
                "add secret: ${NAME}",
                warning=True,
            )
    elif not verified and not platform.required and not platform.vendor_keys:
        yield ProblemAt(
            ("platform",),
            "nothing verifies its deliveries",
            "add headers:, signature:, jwt: or mtls:, or say verifier: none to accept anything",
        )
    elif "signature" in given:
        missing -= {"secret"}  # it replaces the platform's own scheme
    for setting in sorted(missing):
        remedy = f"add {setting}: ${{NAME}}"
        if setting == "secret":
            remedy += (
                ", or say verifier: none if its headers alone are to prove a delivery"
                if verified
                else ", or say verifier: none to accept anything"
            )
        yield ProblemAt((setting,), f"missing: platform {platform.name} needs it", remedy)
