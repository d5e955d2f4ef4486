"""What to do at the sender of a webhook, in words, as a command, and as a text for a coding
assistant."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator

from markupsafe import Markup, escape

from config.proof_keys import Jwt, Signature
from config.webhooks import Webhook
from platforms.guide import Guide, samples


def setup_steps(webhook: Webhook, guide: Guide) -> str:
    """The steps in its platform's README; for any other sender, those that its kind of proof needs.

    A paragraph with the marks of the READMEs; "" for nothing.
    """
    if webhook.callback is not None:  # each URL is given to somebody else
        return ""
    return guide.setup if webhook.platform != "custom" else " ".join(_of_custom(webhook))


def prompts(
    webhook: Webhook, guide: Guide, url: str, secret: str | None
) -> Iterator[tuple[str, str]]:
    """Texts to copy, each with its purpose, with URL and secret filled in. Nothing is called.

    `secret`: if it may be shown now; else the texts say where it belongs.
    """
    if webhook.callback is not None:
        return
    shown = secret or "THE_SECRET"
    command = guide.platform.command
    if command:
        yield "A command", command.format(url=shlex.quote(url), secret=shlex.quote(shown))
    steps = as_text(setup_steps(webhook, guide))
    sender = "the sender" if webhook.platform == "custom" else guide.platform.title
    needs = ""
    if guide.platform.made_by == "us" and webhook.secret:
        needs = f" The secret to enter there is {shown}."
    yield (
        "A text for a coding assistant",
        (
            f"Register a webhook at {sender} that posts to {url}.{needs} {steps} Then trigger one"
            " delivery, and check that it is answered 200."
        ),
    )


def _of_custom(webhook: Webhook) -> Iterable[str]:
    for header in webhook.headers or ():
        yield f"Have the sender add the header `{header}` with its secret as the value."
    if webhook.signature is not None:
        yield _of_signature(webhook.signature)
    if webhook.jwt is not None:
        yield _of_jwt(webhook.jwt)
    if webhook.mtls is not None:
        yield (
            "The proxy in front must verify the sender’s certificate and overwrite the header"
            f" `{webhook.mtls.header}`. Name the proxy in `BRIDGE_TRUSTED_PROXIES`, or nothing is"
            " accepted."
        )
    if webhook.challenge is not None and webhook.challenge.name is not None:
        yield "Enter the URL at the sender, which then sends its challenge."


def _of_signature(signature: Signature) -> str:
    place = f"`{signature.header}`"
    if signature.format is not None or signature.prefix:
        form = signature.format or f"{signature.prefix}{{signature}}"
        place += f", written as `{form}`"
    return (
        f"Have the sender sign `{signature.signed}` with the secret"
        f" (HMAC-{signature.algorithm.upper()}, in {signature.encoding}), and put the signature"
        f" into the header {place}."
    )


def _of_jwt(jwt: Jwt) -> str:
    token = f"`{jwt.issuer}`"
    if jwt.audience:
        audience = " or ".join(f"`{one}`" for one in jwt.audience)
        token += f" for {audience}"
    return f"Have the sender get a token from {token}, and send it in the header `{jwt.header}`."


def how_to_try(webhook: Webhook, url: str) -> str | None:
    """A command that can work, with words in capitals for what only its user has; None if there is
    none.

    `url`: the webhook's, as its sender calls it.
    """
    name = shlex.quote(webhook.name)
    if webhook.callback is not None and webhook.callback.by:
        return None
    if webhook.callback is not None:
        return f"webhook-bridge callback {name} --workflow ID --task REF"
    found = next(iter(samples(webhook.platform).items()), None)
    if webhook.mtls is not None:  # only the proxy can verify a certificate, and hand it on
        kind = "application/json" if found is None else found[1].content_type
        content_type = shlex.quote(f"Content-Type: {kind}")
        return (
            f"curl --cert CLIENT.pem --key CLIENT.key -H {content_type} --data-binary @EVENT"
            f" {shlex.quote(url)}"
        )
    if found is None:
        return None
    token = f" -H '{webhook.jwt.header}: Bearer TOKEN'" if webhook.jwt is not None else ""
    return f"webhook-bridge send {name} --sample {shlex.quote(found[0])}{token}"


_MARKS = re.compile(
    r"`(?P<code>[^`]+)`|\*\*(?P<strong>[^*]+)\*\*|\*(?P<em>[^*]+)\*"
    r"|\[(?P<words>[^\]]+)\]\((?P<url>[^)]+)\)"
)
"""Each mark by the name of its element in HTML, and links."""


def as_html(text: str) -> Markup:
    """One paragraph. Only https links become links; of others the text remains."""
    return Markup(_MARKS.sub(_html, str(escape(text))))  # noqa: S704 - escaping leaves the marks as they are


def _html(match: re.Match[str]) -> str:
    element, url = str(match.lastgroup), match["url"]
    if url is None:
        return f"<{element}>{match[element]}</{element}>"
    inner = _MARKS.sub(_html, match["words"])
    return f'<a href="{url}" rel="noreferrer">{inner}</a>' if url.startswith("https://") else inner


def as_text(text: str) -> str:
    """One paragraph for a terminal."""
    return _MARKS.sub(lambda match: as_text(next(filter(None, match.groups()))), text)
