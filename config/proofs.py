"""What a platform requires of a definition, and what would leave its deliveries unproven."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from config.problems import ProblemAt
from config.references import UNRESOLVED
from config.risks import secrets_at
from criteria.suggestions import did_you_mean

if TYPE_CHECKING:  # the worker reads definitions without loading the platforms
    from platforms.base import Platform
    from platforms.verifiers import Verifier

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


@dataclass(frozen=True)
class _Proven:
    """A webhook as written, and how its deliveries are to be proven."""

    webhook: Mapping[str, Any]
    platform: Platform

    @property
    def given(self) -> frozenset[str]:
        """Those of `PLATFORM_SETTINGS` that are written."""
        return frozenset(PLATFORM_SETTINGS).intersection(self.webhook)

    @property
    def is_signed(self) -> bool:
        return not self.given.isdisjoint(("secret", "signature"))

    @property
    def is_verified(self) -> bool:
        return self.is_signed or not {"headers", "jwt", "mtls"}.isdisjoint(self.webhook)

    @property
    def verifier(self) -> Verifier | None:
        """The platform's own; None if it needs no setting, or one that isn't written."""
        required = self.platform.required
        return self.platform.verifier if required and required <= self.given else None

    @property
    def is_challenged(self) -> bool:
        """Whether a challenge is answered with a value; HEAD has none, and proves nothing."""
        challenge = self.webhook.get("challenge")
        only_by_head = isinstance(challenge, Mapping) and "name" not in challenge
        return self.platform.challenge_only or (challenge is not None and not only_by_head)

    @property
    def unanswerable(self) -> list[str]:
        """Missing settings without which the challenge can't be answered."""
        return sorted(self.platform.challenge_settings - self.given)

    @property
    def missing(self) -> list[str]:
        """Missing settings without which no delivery is proven."""
        missing = self.platform.required - self.given
        if "signature" in self.given or self.is_challenged:
            missing -= {"secret"}  # `signature` replaces the platform's own scheme
        if self.is_challenged and not self.is_verified:
            missing = missing.union(self.unanswerable)
        return sorted(missing)


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
        remedy = did_you_mean(name, sorted(platforms))
        yield ProblemAt(("platform",), f"unknown platform {name!r}", remedy)
        return
    rules = _OF_ALL
    if webhook.get("callback") is None:  # its URLs are the proof; its other rules are in the model
        rules += _WITHOUT_CALLBACK
    if webhook.get("callback") is None and webhook.get("verifier") != "none":
        rules += _OF_VERIFIED
    for rule in rules:
        yield from rule(_Proven(webhook, platform))


def _foreign_settings(proven: _Proven) -> Iterator[ProblemAt]:
    platform = proven.platform
    understood = ", ".join(sorted(platform.settings))
    for setting in sorted(proven.given - platform.settings):
        what = f"platform {platform.name} has no `{setting}`"
        yield ProblemAt((setting,), what, f"remove it ({platform.name} understands {understood})")


def _listens_to_secrets(proven: _Proven) -> Iterator[ProblemAt]:
    if proven.webhook.get("listen") is True and proven.platform.secret_in_body:
        what = (
            f"a delivery of {proven.platform.name} has the secret in its body, which is never kept"
        )
        remedy = "remove it, and use a tunnel or a subscription of its own to develop"
        yield ProblemAt(("listen",), what, remedy)


def _unusable_secrets(proven: _Proven) -> Iterator[ProblemAt]:
    for place, secret in secrets_at(proven.webhook, "secret"):
        should_be = proven.platform.find_secret_problem(secret)
        if should_be is not None:
            yield ProblemAt(place, f"a secret that {proven.platform.name} can't use", should_be)


def _unkept(proven: _Proven) -> Iterator[ProblemAt]:
    if "keep_rejected" not in proven.webhook:
        return
    reason = _why_not_kept(proven)
    if reason is not None:
        what = f"what this webhook rejects can't be kept: {reason}"
        yield ProblemAt(("keep_rejected",), what, "remove keep_rejected")


def _why_not_kept(proven: _Proven) -> str | None:
    """Why rejected deliveries must not be kept: they may hold a secret. None if they may, as only
    signatures count."""
    webhook, platform = proven.webhook, proven.platform
    if webhook.get("verifier") == "none":
        return "nothing is verified, so nothing is rejected"
    for key, what in (("jwt", "the token"), ("mtls", "the client's certificate")):
        if key in webhook:
            return f"{what} is never stored, so what it proves couldn't be proven again"
    if "headers" in webhook:
        return (
            "the values of `headers` are secrets, and a rejected delivery may carry one that is"
            " nearly right"
        )
    if platform.vendor_keys:
        return (
            f"{platform.name} is verified by the vendor's keys, and no secret of yours can be wrong"
        )
    verifier, signature = proven.verifier, webhook.get("signature")
    headers = [getattr(verifier, "header", "")]
    if isinstance(signature, Mapping):
        headers.append(str(signature.get("header", "")))
    elif verifier is None:
        return "no signature proves its deliveries"
    if verifier is not None and "sender" in verifier.covers:
        return (
            f"{platform.name} sends a token, and a rejected delivery may carry one that is nearly"
            " right"
        )
    if "authorization" in map(str.lower, headers):
        return "its proof is in the header Authorization, which may hold passwords and tokens"
    return None


def _settings(proven: _Proven) -> Iterator[ProblemAt]:
    platform = proven.platform
    if not (
        proven.is_challenged or proven.is_verified or platform.required or platform.vendor_keys
    ):
        yield ProblemAt(
            ("platform",),
            "nothing verifies its deliveries",
            "add headers:, signature:, jwt: or mtls:, or say verifier: none to accept anything",
        )
    for setting in proven.missing:
        remedy = f"add {setting}: ${{NAME}}"
        if setting == "secret" and proven.is_verified:
            remedy += ", or say verifier: none if its headers alone are to prove a delivery"
        elif setting == "secret":
            remedy += ", or say verifier: none to accept anything"
        yield ProblemAt((setting,), f"missing: platform {platform.name} needs it", remedy)


def _challenges(proven: _Proven) -> Iterator[ProblemAt]:
    """What is risky about a challenge as proof."""
    platform = proven.platform
    if not proven.is_challenged:
        return
    if proven.unanswerable:
        if proven.is_verified:  # else they are missing
            yield _risk(
                f"no {' and '.join(proven.unanswerable)}: the challenge can't be answered, without"
                f" which {platform.name} sends nothing to a new URL",
                " and ".join(f"add {setting}: ${{NAME}}" for setting in proven.unanswerable),
            )
    elif not proven.is_verified:
        has_secret = "secret" in platform.settings
        yield _risk(
            "no signing secret: once the challenge has come, anyone who knows the URL can post",
            "add secret: ${NAME}" if has_secret else "add signature:, headers: or jwt:",
        )
    elif not proven.is_signed and "secret" in platform.required:
        yield _risk(
            f"no secret: nothing but its headers proves a delivery, though {platform.name} offers a"
            " better proof",
            "add secret: ${NAME}",
        )


def _risk(what: str, remedy: str) -> ProblemAt:
    return ProblemAt(("platform",), what, remedy, warning=True)


def _unpinned(proven: _Proven) -> Iterator[ProblemAt]:
    platform, headers = proven.platform, proven.webhook.get("headers")
    written = set(proven.webhook)
    if isinstance(headers, Mapping):
        written |= {name.lower() for name in headers if isinstance(name, str)}
    if platform.pinned_by and written.isdisjoint(platform.pinned_by):
        setting = platform.pinned_by[0]
        yield ProblemAt(
            ("platform",),
            f"no `{setting}`: {platform.name} signs for everyone, so anyone with an account there"
            " can post",
            f"add {setting}: with yours",
            warning=True,
            fails_check=True,
        )


_Rules = tuple[Callable[[_Proven], Iterator[ProblemAt]], ...]
_OF_ALL: _Rules = (_foreign_settings, _listens_to_secrets, _unusable_secrets)
_WITHOUT_CALLBACK: _Rules = (_unkept,)
_OF_VERIFIED: _Rules = (_settings, _challenges, _unpinned)
