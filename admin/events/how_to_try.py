"""How somebody who has just made a webhook can try it."""

from __future__ import annotations

import shlex

from config.webhooks import Webhook
from platforms.guide import samples


def how_to_try(webhook: Webhook, url: str) -> str | None:
    """A command that can work, with words in capitals for what only its user has; None if there is none.

    `url`: the webhook's, as its sender calls it.
    """
    name = shlex.quote(webhook.name)
    if webhook.callback is not None:
        return None if webhook.callback.by else f"webhook-bridge callback {name} --workflow ID --task REF"
    found = next(iter(samples(webhook.platform).items()), None)
    if webhook.mtls is not None:  # only the proxy can verify a certificate, and hand it on
        kind = "application/json" if found is None else found[1].content_type
        content_type = shlex.quote(f"Content-Type: {kind}")
        return f"curl --cert CLIENT.pem --key CLIENT.key -H {content_type} --data-binary @EVENT {shlex.quote(url)}"
    if found is None:
        return None
    token = " --token-file FILE" if webhook.jwt is not None else ""
    return f"webhook-bridge send {name} --sample {shlex.quote(found[0])}{token}"
