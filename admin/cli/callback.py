"""``webhook-bridge callback``: makes a URL that completes one task."""

from __future__ import annotations

import click

from admin.callbacks import Callback, callback_url
from admin.cli.common import Here, as_json_option, complete_webhook, echo_json, here, webhook_named
from admin.cli.tables import plain
from config.durations import parse_duration
from store.records import iso


@click.command()
@click.argument("webhook", shell_complete=complete_webhook)
@click.option("--workflow", "workflow_id", required=True, metavar="ID", help="The id of the workflow.")
@click.option("--task", required=True, metavar="REF", help="The reference name of its task.")
@click.option("--iteration", type=click.IntRange(min=1), help="Of a task in a loop: which iteration's.")
@click.option("--expires", metavar="2h", help="How long it can be used; by default as the definition says.")
@as_json_option
@here
def callback(
    here: Here,
    webhook: str,
    workflow_id: str,
    task: str,
    iteration: int | None,
    expires: str | None,
    as_json: bool,
) -> None:
    """Make a URL that completes one task, once.

    Whoever has the URL can complete the task: a body that is posted to it becomes the task's output, and a browser
    shows a page with a button. It works for tasks of any type, and for those that are to come. The webhook needs
    `callback: {secret: ${NAME}}`. Only the URL goes to standard output.

    \b
    Examples:
      webhook-bridge callback approvals --workflow 7d0c3a30-… --task approve
      webhook-bridge callback approvals --workflow 7d0c3a30-… --task approve --iteration 2 --expires 2h
    """
    definition = webhook_named(here, webhook)
    try:
        seconds = None if expires is None else parse_duration(expires)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--expires") from None
    made = callback_url(definition, here.settings, here.store.now(), workflow_id, task, iteration, seconds)
    if as_json:
        echo_json(Callback.of(made))
        return
    click.echo(made.url)
    click.echo(plain(f"until {iso(made.expires_at)}"), err=True)
