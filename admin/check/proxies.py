"""Whether the settings let the relay learn where deliveries come from."""

from __future__ import annotations

from config.settings import Settings
from config.webhooks import Definitions
from worker.discovery.probe import CheckResult

_LIST_THEM = "list the proxies' own addresses or networks"


def on_proxies(settings: Settings, definitions: Definitions) -> list[CheckResult]:
    """What is risky about BRIDGE_TRUSTED_PROXIES."""
    proxies = settings.bridge_trusted_proxies
    by_certificate = [webhook.name for webhook in definitions.webhooks if webhook.mtls is not None]
    if by_certificate and not proxies:
        return [
            CheckResult(
                "error",
                f"no proxy is named, so nobody vouches for the client certificates of {by_certificate[0]}: it refuses "
                "every delivery",
                "set it to the address or network of the proxy that verifies them, such as 127.0.0.1",
            )
        ]
    if by_certificate and (proxies.hops or proxies.everyone):
        return [
            CheckResult(
                "warning",
                "a client that bypasses the proxy can claim any client certificate, even the one that "
                f"{by_certificate[0]} asks for",
                _LIST_THEM,
            )
        ]
    if proxies.everyone:
        return [
            CheckResult(
                "warning",
                "every client counts as a proxy and can claim any address, for `allow_ips` and the limit on failed "
                "proofs",
                _LIST_THEM,
            )
        ]
    if not proxies and (settings.bridge_public_url or "").startswith("https:"):
        return [
            CheckResult(
                "warning",
                "the proxy that terminates TLS for BRIDGE_PUBLIC_URL is not named, so every delivery seems to come "
                "from its address: `allow_ips` and the limit on failed proofs see no other",
                "set it to that proxy's address or network, such as 127.0.0.1",
            )
        ]
    restricted = [webhook.name for webhook in definitions.webhooks if webhook.allow_ips]
    if proxies.hops and restricted:
        return [
            CheckResult(
                "note",
                "a client that bypasses the proxy can claim any address, even one in the `allow_ips` of "
                f"{restricted[0]}",
                _LIST_THEM,
            )
        ]
    return []
