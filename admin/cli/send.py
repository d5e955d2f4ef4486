"""``webhook-bridge send``: posts a delivery, signed as the platform would sign it."""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.parse import urlsplit

import click

from admin.cli.common import Here, complete_webhook, here, read_text, webhook_named
from admin.cli.groups import fail
from admin.cli.tables import plain
from admin.events.deliveries import CantKeep, headers_of, renewed, with_content_type
from admin.events.deliveries import saved as saved_delivery
from admin.events.event_or_sample import find_sample
from admin.events.send import (
    NotReachable,
    begins_like_json,
    content_type_of,
    doubt,
    draft_for,
    fault_of,
    post,
    signed,
    signed_at,
    urls_of,
    wait_of,
)
from config.webhooks import Webhook
from platforms.guide import samples
from platforms.verifiers import CannotSign, Draft
from platforms.verifiers.jwts import Jwt
from store.delivery_records import RawDelivery


@click.command()
@click.argument("webhook", shell_complete=complete_webhook)
@click.option(
    "-d",
    "--data",
    metavar="@FILE|TEXT",
    help="The body: @FILE for a file's content, @- for standard input, or the text itself.",
)
@click.option(
    "--sample",
    is_flag=False,
    flag_value="",
    metavar="[NAME]",
    help="A sample event of the platform, such as push, with ids of its own each time; without NAME lists them.",
)
@click.option("--saved", metavar="NAME", help="A delivery that was saved on the admin page, with new ids each time.")
@click.option("-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="An additional header.")
@click.option("--content-type", help="By default application/json for JSON, a form's type for a=b, else text/plain.")
@click.option("--query", default="", help="The query string, such as a=1&b=2.")
@click.option("-X", "--method", default="POST", show_default=True, help="The HTTP method.")
@click.option("--url", help="The relay, such as http://localhost:8000, or the webhook's whole URL.")
@click.option(
    "--token-file", type=click.Path(path_type=Path), metavar="FILE", help="The token to send, for a webhook with jwt."
)
@click.option("--text", is_flag=True, help="Send a body that begins like JSON, but isn't, as text.")
@click.option("--unsigned", is_flag=True, help="Don't sign, to see the rejection.")
@here
def send(
    here: Here,
    webhook: str,
    data: str | None,
    sample: str | None,
    saved: str | None,
    headers: tuple[str, ...],
    content_type: str | None,
    query: str,
    method: str,
    url: str | None,
    token_file: Path | None,
    text: bool,
    unsigned: bool,
) -> None:
    """Post a delivery to WEBHOOK, signed as its platform would sign it.

    This tries a webhook before its platform is connected. The delivery goes to --url, to BRIDGE_RELAY_URL or
    BRIDGE_PUBLIC_URL, or to the relay on this machine (port $PORT, 8000 by default). Prints the response's status and
    body; exits with 1 unless the status is 2xx. Says on stderr if the relay took it for a duplicate, which has no
    effect.

    \b
    Examples:
      webhook-bridge send github-deploys --data @push.json -H 'X-GitHub-Event: push'
      webhook-bridge send github-deploys --sample             which samples there are
      webhook-bridge send github-deploys --sample push
      webhook-bridge send github-deploys --saved 'to main'
      webhook-bridge send shipments --data @order.json --token-file token.jwt
      webhook-bridge send slack --data '{"event": {"type": "message"}}'
      echo '{}' | webhook-bridge send orders --data @- --url http://localhost:8000
    """
    definition = webhook_named(here, webhook)
    for option, given in (("--url", url or ""), ("--query", query), ("--method", method)):
        if not given.isprintable():  # such as bytes that aren't UTF-8
            raise click.BadParameter(f"{given!r} can't be sent", param_hint=option)
    if sample == "":
        click.echo("\n".join(samples(definition.platform)))
        return
    if saved is not None and (data is not None or sample is not None):
        raise click.UsageError("--saved has a body of its own: leave out --data and --sample")
    body, drafted = _body(data), {}
    if saved is not None:
        found = _saved(here, definition, saved)
        body, query, drafted = found.body, query or found.query, dict(found.headers)
        method = found.method if method == "POST" else method
    elif sample is not None:
        event = find_sample(definition, sample).made_anew()
        body, drafted = body or event.body, {"Content-Type": event.content_type, **event.headers}
    target, signed_url = urls_of(definition, here.settings, query, None if url is None else _url(definition, url))
    if data is not None and content_type is None and not text and begins_like_json(body) and (fault := fault_of(body)):
        raise click.UsageError(f"--data begins like JSON, but isn't: {fault}; correct it, or add --text")
    is_own = data is not None or (sample is None and saved is None)
    if is_own and (why := doubt(definition, body, method.upper(), content_type)):
        click.echo(plain(f"warning: {why}" + ("" if body else ": use --data or --sample")), err=True)
    if content_type:
        drafted = {name: value for name, value in drafted.items() if name.lower() != "content-type"}
    if content_type or (body and not drafted):
        drafted["Content-Type"] = content_type or content_type_of(body)
    try:
        drafted |= headers_of("\n".join(headers))
    except ValueError as error:
        raise click.BadParameter(f"{error} is not a header; write 'NAME: VALUE'", param_hint="--header") from None
    draft = draft_for(signed_url, body, drafted, method.upper())
    if token_file is not None:
        draft = _with_token(definition, draft, token_file)
    if not unsigned:
        try:
            draft = signed(definition, draft)
        except CannotSign as error:
            fail(f"{webhook}: {error}")
    try:
        answer = post(signed_at(target, draft), draft, wait_of(definition))
    except NotReachable as error:
        fail(f"{error}; is the relay running? If it runs elsewhere, use --url or PORT")
    click.echo(answer.phrase)
    if answer.body:
        click.echo(plain(answer.body.decode("utf-8", "replace"), lines=True))
    if answer.is_duplicate:
        click.echo("a duplicate: the relay received this event before, so it has no effect", err=True)
    sys.exit(0 if answer.is_good else 1)


def _with_token(webhook: Webhook, draft: Draft, file: Path) -> Draft:
    if webhook.jwt is None:
        raise click.BadParameter(f"{webhook.name} has no jwt, so no token is asked for", param_hint="--token-file")
    token = read_text(file, "--token-file")
    if not token or not token.isascii() or not token.isprintable():
        raise click.BadParameter(f"{file}: not a token", param_hint="--token-file")
    return Jwt(webhook.jwt.issuer, header=webhook.jwt.header).with_token(draft, token)


def _saved(here: Here, webhook: Webhook, name: str) -> RawDelivery:
    try:
        found = saved_delivery(here.bridge, webhook, name)
    except CantKeep as error:
        fail(f"the saved delivery {name} can't be sent: {error}")
    return with_content_type(renewed(found, webhook))


def _body(data: str | None) -> bytes:
    if data is None:
        return b""
    if data == "@-":
        return sys.stdin.buffer.read()
    if not data.startswith("@"):
        return data.encode("utf-8", "surrogateescape")
    try:
        return Path(data[1:]).read_bytes()
    except OSError as error:
        raise click.BadParameter(f"{data[1:]}: {error.strerror}", param_hint="--data") from None


def _url(webhook: Webhook, text: str) -> str:
    """The webhook's whole URL, from that or the relay's."""
    try:
        parts = urlsplit(text)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is not a URL; write one such as http://localhost:8000", param_hint="--url"
        ) from None
    if "/webhook/" not in parts.path:
        parts = parts._replace(path=f"{parts.path.rstrip('/')}/webhook/{webhook.url_id}")
    return parts.geturl()
