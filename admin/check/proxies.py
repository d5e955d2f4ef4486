"""What is risky in the settings together with the definitions."""

from __future__ import annotations

from config.settings import Settings
from config.webhooks import Definitions
from worker.discovery.probe import Finding


def on_proxies(settings: Settings, definitions: Definitions) -> list[Finding]:
    """Whether the relay learns where deliveries come from."""
    proxies = settings.bridge_trusted_proxies
    if not proxies and (settings.bridge_public_url or "").startswith("https:"):
        return [
            Finding(
                "warning",
                "whatever speaks TLS for BRIDGE_PUBLIC_URL is not named, so all deliveries seem to come from its "
                "address: `allow_ips` and the limit of failed proofs see nothing else",
                "set it to that proxy's address or network, such as 127.0.0.1",
            )
        ]
    restricted = [webhook.name for webhook in definitions.webhooks if webhook.allow_ips]
    if proxies.hops and restricted:
        return [
            Finding(
                "note",
                "who reaches the relay around its proxy can claim any address, also one of the `allow_ips` of "
                f"{restricted[0]}",
                "name the proxies' addresses or networks instead of their number",
            )
        ]
    return []
