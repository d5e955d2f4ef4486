"""What to do at the sender of a webhook."""

from __future__ import annotations

from collections.abc import Iterable

from config.webhooks import Webhook
from platforms.guide import Guide


def setup_steps(webhook: Webhook, guide: Guide) -> str:
    """What its platform's README says; for any other sender, what its kind of proof asks for.

    A paragraph with the marks of the READMEs; "" for nothing.
    """
    if webhook.callback is not None:  # each URL is given to somebody else
        return ""
    return guide.setup if webhook.platform != "custom" else " ".join(_of_custom(webhook))


def _of_custom(webhook: Webhook) -> Iterable[str]:
    for header in webhook.headers or ():
        yield f"Have the sender add the header `{header}` with its secret as the value."
    if (signature := webhook.signature) is not None:
        place = f"`{signature.header}`"
        if signature.format is not None or signature.prefix:
            form = signature.format or f"{signature.prefix}{{signature}}"
            place += f", written as `{form}`"
        yield (
            f"Have the sender sign `{signature.signed}` with the secret (HMAC-{signature.algorithm.upper()}, in "
            f"{signature.encoding}), and put the signature into the header {place}."
        )
    if webhook.jwt is not None:
        audience = " or ".join(f"`{one}`" for one in webhook.jwt.audience or ())
        token = f"`{webhook.jwt.issuer}`" + (f" for {audience}" if audience else "")
        yield f"Have the sender get a token of {token}, and put it into the header `{webhook.jwt.header}`."
    if webhook.mtls is not None:
        yield (
            "The proxy in front must verify the sender’s certificate and overwrite the header "
            f"`{webhook.mtls.header}`. Name the proxy in `BRIDGE_TRUSTED_PROXIES`, or nothing is accepted."
        )
    if webhook.challenge is not None and webhook.challenge.name is not None:
        yield "Enter the URL at the sender, which then sends its challenge."
