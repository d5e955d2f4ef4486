"""What `check` advises besides errors: about proxies, retention, samples, and secrets that git may
see."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from config.quantities import format_duration
from config.settings import Proxies, Settings
from config.webhooks import Definitions, Problem, Webhook
from platforms import PLATFORMS
from worker.discovery.probe import CheckResult


def on_proxies(settings: Settings, definitions: Definitions) -> list[CheckResult]:
    """What is risky about BRIDGE_TRUSTED_PROXIES."""
    proxies, webhooks = settings.bridge_trusted_proxies, definitions.webhooks
    certified = next((webhook.name for webhook in webhooks if webhook.mtls is not None), None)
    restricted = next((webhook.name for webhook in webhooks if webhook.allow_ips), None)
    is_behind_tls = (settings.bridge_public_url or "").startswith("https:")
    if certified is not None:
        return _on_certificates(proxies, certified)
    if proxies.everyone:
        what = (
            "every client counts as a proxy and can claim any address for `allow_ips` and for"
            " failed proofs"
        )
        return [CheckResult("warning", what, _LIST_THEM)]
    if not proxies and is_behind_tls:
        what = (
            "the proxy that terminates TLS for BRIDGE_PUBLIC_URL is not named, so every delivery"
            " seems to come from its address: `allow_ips` and the limit on failed proofs see no"
            " other"
        )
        remedy = "set it to that proxy's address or network, such as 127.0.0.1"
        return [CheckResult("warning", what, remedy)]
    if proxies.hops and restricted is not None:
        what = (
            "a client that bypasses the proxy can claim any address, even one in the `allow_ips`"
            f" of {restricted}"
        )
        return [CheckResult("note", what, _LIST_THEM)]
    return []


def _on_certificates(proxies: Proxies, certified: str) -> list[CheckResult]:
    """`certified`: a webhook whose senders have certificates."""
    if not proxies:
        what = (
            f"no proxy is named, so nobody vouches for the client certificates of {certified}: it"
            " refuses every delivery"
        )
        remedy = (
            "set it to the address or network of the proxy that verifies them, such as 127.0.0.1"
        )
        return [CheckResult("error", what, remedy)]
    if proxies.hops or proxies.everyone:
        what = (
            "a client that bypasses the proxy can claim any client certificate, even that of"
            f" {certified}"
        )
        return [CheckResult("warning", what, _LIST_THEM)]
    return []


_LIST_THEM = "list the proxies' own addresses or networks"
_SHORTEST = 86_400.0
"""Seconds: within a day, most platforms have repeated what they repeat."""


def on_retention(seconds: float, webhooks: Sequence[Webhook]) -> list[CheckResult]:
    """What is wrong with BRIDGE_RETENTION, and what is risky about it.

    While a signed time is accepted, its event must be known: whoever has seen a delivery could make
    it an event again.
    """
    windows = {
        webhook.name: window for webhook in webhooks if (window := _window(webhook)) is not None
    }
    longest = max(windows, key=windows.__getitem__, default=None)
    if longest is not None and windows[longest] > seconds:
        ago = format_duration(windows[longest])
        what = (
            f"webhook {longest} accepts what was signed {ago} ago, and after"
            f" {format_duration(seconds)} forgets it"
        )
        return [
            CheckResult(
                "error", what, f"write {ago} or more, or give the webhook a shorter tolerance"
            )
        ]
    if seconds >= _SHORTEST:
        return []
    what = (
        f"what a platform delivers again more than {format_duration(seconds)} later is an event"
        " again"
    )
    return [
        CheckResult(
            "warning", what, "write 1d or more: platforms repeat deliveries for hours or days"
        )
    ]


def _window(webhook: Webhook) -> float | None:
    """Seconds for which a signed time is accepted; None for ever, or if there is none."""
    if webhook.verifier == "none":
        return None
    if webhook.signature is not None and webhook.signature.timestamp_header is not None:
        return webhook.signature.tolerance
    return PLATFORMS[webhook.platform].tolerance if webhook.tolerance is None else webhook.tolerance


_PATIENCE = 5.0
"""Seconds that git may take to answer."""


def find_secrets_in_git(definitions: Definitions) -> list[Problem]:
    """A warning for each secret whose file is committed or could be. None where there is no git."""
    places = [place for place in definitions.secrets if place.path.exists()]
    dotenv = Path(".env")
    exposed = not_ignored(
        {place.path for place in places} | ({dotenv} if dotenv.exists() else set())
    )
    found = []
    for place in places:
        if place.path in exposed:
            holder, remedy = "this file", "refer to a variable, or to a file outside the work tree"
            if place.path != place.file:
                holder, remedy = (
                    str(place.path),
                    "add it to .gitignore, or move it out of the work tree",
                )
            what = f"{holder} holds the secret, and git doesn't ignore it"
            found.append(
                Problem(str(place.file), place.line, place.where, what, remedy, warning=True)
            )
    if dotenv in exposed:
        what = "this file holds secrets, and git doesn't ignore it"
        found.append(Problem(str(dotenv), 1, "git", what, "add it to .gitignore", warning=True))
    return sorted(found)


def not_ignored(paths: Iterable[Path]) -> set[Path]:
    """The files that are in a git work tree and not ignored; none of a work tree whose git doesn't
    answer."""
    by_tree: dict[Path, list[Path]] = {}
    for path in paths:
        trees = (above for above in path.absolute().parents if (above / ".git").exists())
        tree = next(trees, None)
        if tree is not None:
            by_tree.setdefault(tree, []).append(path)
    return {path for tree, inside in by_tree.items() for path in _not_ignored_in(tree, inside)}


def _not_ignored_in(tree: Path, paths: Iterable[Path]) -> list[Path]:
    names = {path: os.fsencode(path.absolute()) for path in paths}
    try:
        # 0: some are ignored, and it names them. 1: none is, or they are committed already.
        answer = subprocess.run(  # noqa: S603
            ["git", "-C", str(tree), "check-ignore", "--stdin", "-z"],  # noqa: S607
            input=b"\0".join(names.values()),
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    if answer.returncode not in (0, 1):
        return []
    ignored = set(answer.stdout.split(b"\0"))
    return [path for path, name in names.items() if name not in ignored]
