"""``webhook-bridge send``: posts a delivery, signed as the platform would sign it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

import click

from admin.bridge import webhook_of
from admin.cli.bridges import Here, here
from admin.cli.common import HTTP_URL, bytes_given, complete_webhook
from admin.cli.groups import fail
from admin.events.deliveries import headers_of, of_sample, renewed, with_content_type, written
from admin.events.deliveries import saved as saved_delivery
from admin.events.event_or_sample import find_sample
from admin.events.send import Answer, NotReachable, for_relay, post
from admin.wording.terminal import plain
from config.webhooks import Webhook
from platforms.guide import samples
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
    help=(
        "A sample event of the platform, such as push, with ids of its own each time; without NAME"
        " lists them."
    ),
)
@click.option(
    "--saved",
    metavar="NAME",
    help="A delivery that was saved on the admin page, with new ids each time.",
)
@click.option(
    "-H",
    "--header",
    "headers",
    multiple=True,
    metavar="'NAME: VALUE'",
    help="A header, instead of one of that name.",
)
@click.option("--query", default="", help="The query string, such as a=1&b=2.")
@click.option("-X", "--method", help="The HTTP method; POST by default.")
@click.option(
    "--url",
    type=HTTP_URL,
    help="The relay, such as http://localhost:8000, or the webhook's whole URL.",
)
@click.option("--text", is_flag=True, help="Send the body as text, even if it begins like JSON.")
@click.option("--unsigned", is_flag=True, help="Don't sign, to see the rejection.")
@here
def send(
    here: Here,
    webhook: str,
    data: str | None,
    sample: str | None,
    saved: str | None,
    headers: tuple[str, ...],
    query: str,
    method: str | None,
    url: str | None,
    text: bool,
    unsigned: bool,
) -> None:
    """Post a delivery to WEBHOOK, signed as its platform would sign it.

    This tries a webhook before its platform is connected. The delivery goes to --url, to BRIDGE_RELAY_URL or
    BRIDGE_PUBLIC_URL, or to the relay on this machine (port $PORT, 8000 by default). Without a header
    Content-Type the body is JSON if it begins like it, a form if it begins with a name and =, else text. Prints the
    response's status and body; exits with 1 unless the status is 2xx. Says on stderr if the relay took it for a
    duplicate, which has no effect.

    \b
    Examples:
      webhook-bridge send github-deploys --data @push.json -H 'X-GitHub-Event: push'
      webhook-bridge send github-deploys --sample             which samples there are
      webhook-bridge send github-deploys --sample push
      webhook-bridge send github-deploys --saved 'to main'
      webhook-bridge send shipments --data @order.json -H "Authorization: Bearer $TOKEN"
      webhook-bridge send slack --data '{"event": {"type": "message"}}'
      echo '{}' | webhook-bridge send orders --data @- --url http://localhost:8000
    """
    definition = webhook_of(here.readable, webhook)
    if sample == "":
        click.echo("\n".join(samples(definition.platform)))
        return
    delivery = _begin(here, definition, data, sample, saved)
    if data is not None:
        delivery = replace(delivery, body=bytes_given(data, "--data"))
    delivery = replace(
        delivery,
        method=(method or delivery.method).upper(),
        query=query or delivery.query,
        headers=_replaced(delivery.headers, _headers_given(headers, text)),
    )
    delivery = with_content_type(delivery)
    at = None if url is None else _url(definition, url)
    try:
        answer = post(*for_relay(definition, here.settings, delivery, at, unsigned))
    except NotReachable as error:
        fail(f"{error}; is the relay running? If it runs elsewhere, use --url or PORT")
    _echo_answer(answer)
    is_json = delivery.headers.get("Content-Type") == "application/json"
    if answer.status == 400 and data is not None and is_json:
        click.echo("it was sent as JSON; --text sends it as text", err=True)
    if sys.stderr.isatty():  # a person follows it, no script
        _say_how_to_follow(answer.event_ids, here.settings.bridge_admin_url)
    sys.exit(not answer.is_good)


def _begin(
    here: Here, webhook: Webhook, data: str | None, sample: str | None, saved: str | None
) -> RawDelivery:
    """The sample or the saved delivery, with ids of its own; else an empty one."""
    if saved is not None:
        if data is not None or sample is not None:
            raise click.UsageError("--saved has a body of its own: leave out --data and --sample")
        return renewed(saved_delivery(here.bridge, webhook, saved), webhook)
    if sample is not None:
        return of_sample(webhook, find_sample(webhook, sample))
    return written(webhook.name, "POST", "", {}, "")


def _headers_given(lines: tuple[str, ...], text: bool) -> dict[str, str]:
    try:
        headers = headers_of("\n".join(lines))
    except ValueError as error:
        raise click.BadParameter(
            f"{error} is not a header; write 'NAME: VALUE'", param_hint="--header"
        ) from None
    if text:
        headers.setdefault("Content-Type", "text/plain; charset=utf-8")
    return headers


def _replaced(headers: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """The headers, with those given instead of others of the same name in any case."""
    names = {name.lower() for name in given}
    kept = {name: value for name, value in headers.items() if name.lower() not in names}
    return kept | dict(given)


def _echo_answer(answer: Answer) -> None:
    click.echo(answer.phrase)
    if answer.body:
        click.echo(plain(answer.body.decode("utf-8", "replace"), lines=True))
    if answer.is_duplicate:
        click.echo(
            "a duplicate: the relay received this event before, so it has no effect", err=True
        )


def _say_how_to_follow(event_ids: Sequence[str], page: str | None) -> None:
    if not event_ids:
        return
    event_id = plain(event_ids[0])
    click.echo(f"what becomes of it: webhook-bridge events show {event_id} --follow", err=True)
    if page is not None:
        click.echo(f"on the page: {page}/events/{event_id}?follow=1", err=True)


def _url(webhook: Webhook, text: str) -> str:
    """The webhook's whole URL, from that or the relay's."""
    parts = urlsplit(text)
    if "/webhook/" not in parts.path:
        parts = parts._replace(path=f"{parts.path.rstrip('/')}/webhook/{webhook.url_id}")
    return parts.geturl()
