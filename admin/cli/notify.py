"""``webhook-bridge notify``: tests where messages about problems go."""

from __future__ import annotations

import click

from admin.cli.common import Here, here
from admin.cli.groups import fail
from worker.notify.sender import Apprise


@click.command()
@click.option("--test", is_flag=True, required=True, help="Send a message that says it is a test.")
@here
def notify(here: Here, test: bool) -> None:
    """Send a test message to BRIDGE_NOTIFY.

    The leading worker sends messages there: about failed events, a webhook that rejects everything, an unreachable
    Conductor or store, broken definitions, and events that pile up. It sends one when the problem begins, and one when
    it is over.
    """
    urls = here.settings.bridge_notify
    if urls is None:
        fail("BRIDGE_NOTIFY is not set; set it to Apprise URLs, such as slack://TOKEN or json://HOST/PATH")
    body = "If you can read this, you will be notified when something is wrong with the webhook bridge."
    sent = Apprise(urls.get_secret_value()).send("this is a test", body, resolved=True)
    failed = [str(number) for number, ok in enumerate(sent, 1) if not ok]
    if failed:
        fail(
            f"not sent to URL number {', '.join(failed)} of BRIDGE_NOTIFY; check its token and host name, and "
            "whether the network lets requests out"
        )
    click.echo("sent")
