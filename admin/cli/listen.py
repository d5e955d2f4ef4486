"""``webhook-bridge listen``: from a public bridge to one on this machine."""

from __future__ import annotations

import json
from urllib.parse import unquote, urlsplit

import click

from admin.cli.common import HTTP_URL, Here, here
from admin.cli.groups import fail
from admin.cli.tables import plain
from admin.events.listen import LocalBridge, Posted, PublicBridge, is_safe_for_a_token
from admin.events.listen import listen as listening
from admin.events.send import urls_of


@click.command()
@click.argument("url", type=HTTP_URL)
@click.option(
    "--forward", type=HTTP_URL, metavar="URL", required=True, help="The webhook's URL at the bridge on this machine."
)
@click.option("-w", "--webhook", metavar="NAME", help="The webhook at the public bridge; by default the forward URL's.")
@click.option(
    "--from",
    "start",
    metavar="ID|last|DURATION",
    help="Begin with the delivery of this event, with the newest one, or a while ago, such as 30m.",
)
@click.option(
    "--resign", is_flag=True, help="Sign each delivery again, as the webhook's definition on this machine says."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line.")
@here
def listen(
    here: Here,
    url: str,
    forward: str,
    webhook: str | None,
    start: str | None,
    resign: bool,
    as_json: bool,
) -> None:
    """Post the deliveries of a public bridge to a bridge on this machine, as they come.

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
      ssh -L 9090:localhost:8090 HOST     # then, in another terminal
      webhook-bridge listen http://localhost:9090 --forward http://localhost:8000/webhook/slack --from 30m --resign
    """
    local_name = _local_name(forward)
    if not is_safe_for_a_token(url):
        raise click.BadParameter("the token would be readable on its way: use https, or ssh -L", param_hint="URL")
    name = webhook or local_name
    if name is None:
        raise click.UsageError("which webhook? --forward doesn't end in /webhook/NAME: say --webhook NAME")
    local = LocalBridge(forward)
    if resign:
        definition = next((one for one in here.readable.webhooks if one.url_id == local_name), None)
        if definition is None:
            fail(f"--resign: no webhook on this machine has the URL /webhook/{local_name}")
        local = LocalBridge(forward, definition, urls_of(definition, here.settings, relay=forward)[1])
    token = here.settings.bridge_listen_token
    public = PublicBridge(url, name, token.get_secret_value() if token is not None else None)
    last: Posted | None = None
    try:
        click.echo(f"Listening to {plain(name)}; press Ctrl-C to stop.", err=True)
        for last in listening(public, local, start, lambda text: click.echo(plain(text), err=True)):
            click.echo(_line(last, as_json))
            if last.answer.status == 401 and not resign:
                click.echo("rejected: if the secret here is different, or the delivery too old, see --resign", err=True)
    except KeyboardInterrupt:
        if last is not None:
            click.echo(f"\nto go on after it: --from {plain(last.delivery.event_id)}", err=True)


def _local_name(forward: str) -> str | None:
    """The last part of ``…/webhook/NAME``."""
    before, _, name = urlsplit(forward).path.rpartition("/")
    return unquote(name) if name and before.endswith("/webhook") else None


def _line(posted: Posted, as_json: bool) -> str:
    delivery, answer = posted.delivery, posted.answer
    fields = {
        "receivedAt": delivery.received_at,
        "method": delivery.method,
        "eventId": delivery.event_id,
        "bytes": len(delivery.body),
        "status": answer.status,
        "answer": answer.said,
    }
    return json.dumps(fields) if as_json else "  ".join(map(plain, filter(None, fields.values())))
