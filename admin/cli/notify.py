"""The command that tries who is told when something is wrong."""

from __future__ import annotations

import click

from admin.cli.common import Here, fail, here
from worker.notify.sender import Apprise


@click.command()
@click.option("--test", is_flag=True, required=True, help="Send a message that says it is a test.")
@here
def notify(here: Here, test: bool) -> None:
    """Send a test message to BRIDGE_NOTIFY.

    The worker that decides sends messages there: of failed events, a webhook that rejects everything, Conductor or the
    store away, broken definitions, events that pile up. Of a kind at most one in ten minutes, and one when it is over.
    """
    urls = here.settings.bridge_notify
    if urls is None:
        fail("BRIDGE_NOTIFY is not set; set it to Apprise URLs, such as slack://TOKEN or json://HOST/PATH")
    body = "If you read this, you will be told when something is wrong with the webhook bridge."
    sent = Apprise(urls.get_secret_value()).send("this is a test", body, resolved=True)
    failed = [str(number) for number, ok in enumerate(sent, 1) if not ok]
    if failed:
        fail(
            f"not sent to URL number {', '.join(failed)} of BRIDGE_NOTIFY; look at its token and host name, and "
            "at what the network lets out"
        )
    click.echo("sent")
