"""``webhook-bridge listen``: from a public bridge to one on this machine."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

import click

from admin.cli.bridges import Here, here
from admin.cli.common import HTTP_URL
from admin.cli.groups import fail
from admin.events.listen import (
    LocalBridge,
    Posted,
    PublicBridge,
    is_safe_for_a_token,
    listen_to_each,
)
from admin.events.listen import listen as listening
from admin.events.send import urls_of
from admin.wording.terminal import plain


@click.command()
@click.argument("url", type=HTTP_URL)
@click.option(
    "--forward",
    "forwards",
    type=HTTP_URL,
    metavar="URL",
    multiple=True,
    required=True,
    help="The webhook's URL at the bridge on this machine; again for each further webhook.",
)
@click.option(
    "-w",
    "--webhook",
    metavar="NAME",
    help="The webhook at the public bridge; by default the forward URL's.",
)
@click.option(
    "--from",
    "start",
    metavar="ID|last|DURATION",
    help=(
        "Begin with the delivery of this event (of one webhook), with the newest one, or a while"
        " ago, such as 30m."
    ),
)
@click.option(
    "--resign",
    is_flag=True,
    help="Sign each delivery again, as the webhook's definition on this machine says.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line.")
@here
def listen(
    here: Here,
    url: str,
    forwards: tuple[str, ...],
    webhook: str | None,
    start: str | None,
    resign: bool,
    as_json: bool,
) -> None:
    """Post the deliveries of a public bridge to a bridge on this machine, as they come; of several webhooks, if there
    are several --forward.

    URL is the address of the public bridge's admin page. Its definition of the webhook says `listen: true`. Its
    BRIDGE_ADMIN_TOKEN is BRIDGE_LISTEN_TOKEN here (environment or .env). It is sent over https only, or to this
    machine, as through an ssh tunnel.

    Deliveries are posted in order, with method, query, headers and bytes as they came, so that the same secret verifies
    them. While the bridge on this machine is away, or this command isn't running, they wait: the public bridge keeps
    the newest 200 for an hour. If one comes twice, the second is a duplicate. Ctrl-C ends it.

    --resign signs them with this machine's secret and time: for webhooks whose secret is different here, for deliveries
    older than their platform's tolerance, and for those that are proven by a token, which is never passed on.

    \b
    Examples:
      webhook-bridge listen https://bridge-admin.example.com --forward http://localhost:8000/webhook/github-deploys
      webhook-bridge listen https://HOST --forward http://localhost:8000/webhook/a --forward http://localhost:8000/webhook/b
      ssh -L 9090:localhost:8090 HOST     # then, in another terminal
      webhook-bridge listen http://localhost:9090 --forward http://localhost:8000/webhook/slack --from 30m --resign
    """
    if not is_safe_for_a_token(url):
        raise click.BadParameter(
            "the token would be readable on its way: use https, or ssh -L", param_hint="URL"
        )
    by_name = _by_webhook(forwards, webhook)
    token = here.settings.bridge_listen_token
    secret = token.get_secret_value() if token is not None else None
    listened: dict[str, Iterator[Posted]] = {}
    for name, forward in by_name.items():
        local = _resigning(here, forward) if resign else LocalBridge(forward)
        listened[name] = listening(PublicBridge(url, name, secret), local, start, _say)
    click.echo(f"Listening to {plain(', '.join(listened))}; press Ctrl-C to stop.", err=True)
    last: dict[str, str] = {}
    try:
        for name, what in listen_to_each(listened):
            said = name if len(listened) > 1 else None
            if isinstance(what, Exception):
                _say(f"{said}: {what}" if said else str(what))
            else:
                last[name] = what.delivery.event_id
                _echo_posted(what, said, as_json, resign)
    except KeyboardInterrupt:
        for name, event_id in last.items():
            alone = f"--webhook {name} " if len(listened) > 1 else ""
            click.echo(
                plain(f"\nto go on after it: {alone}--from {event_id}", lines=True), err=True
            )
    else:
        sys.exit(1)


def _by_webhook(forwards: tuple[str, ...], webhook: str | None) -> dict[str, str]:
    """The webhook's name at the public bridge → the URL here. Raises UsageError."""
    found: dict[str, str] = {}
    for forward in forwards:
        name = webhook or _local_name(forward)
        if name is None:
            raise click.UsageError(
                "which webhook? --forward doesn't end in /webhook/NAME: say --webhook NAME"
            )
        found[name] = forward
    if len(found) < len(forwards):
        raise click.UsageError(
            "each --forward needs a webhook of its own; --webhook goes with one --forward"
        )
    return found


def _say(text: str) -> None:
    click.echo(plain(text), err=True)


def _resigning(here: Here, forward: str) -> LocalBridge:
    """The bridge on this machine, for which deliveries are signed by its definition of the
    webhook."""
    url_id = _local_name(forward)
    definition = next((one for one in here.readable.webhooks if one.url_id == url_id), None)
    if definition is None:
        fail(f"--resign: no webhook on this machine has the URL /webhook/{url_id}")
    return LocalBridge(forward, definition, urls_of(definition, here.settings, relay=forward)[1])


def _local_name(forward: str) -> str | None:
    """The last part of ``…/webhook/NAME``."""
    before, _, name = urlsplit(forward).path.rpartition("/")
    return unquote(name) if name and before.endswith("/webhook") else None


def _echo_posted(posted: Posted, webhook: str | None, as_json: bool, resign: bool) -> None:
    """`webhook`: its name, if there are several."""
    delivery, answer = posted.delivery, posted.answer
    fields = {
        "webhook": webhook,
        "receivedAt": delivery.received_at,
        "method": delivery.method,
        "eventId": delivery.event_id,
        "bytes": len(delivery.body),
        "status": answer.status,
        "answer": answer.said,
    }
    if webhook is None:
        del fields["webhook"]
    if as_json:
        click.echo(json.dumps(fields))
    else:
        click.echo("  ".join(plain(value) for value in fields.values() if value))
    if answer.status == 401 and not resign:
        _say("rejected: if the secret here is different, or the delivery too old, see --resign")
