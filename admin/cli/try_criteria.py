"""``webhook-bridge try``: criteria, tried on what has arrived."""

from __future__ import annotations

import sys
from functools import partial
from typing import get_args

import click

from admin import operations
from admin.api_object import Json
from admin.cli.bridges import Here, asks
from admin.cli.common import Columns, as_json_option, complete_webhook, echo_list
from admin.explain.trials import Kind
from admin.wording.terminal import plain


@click.command("try")
@click.argument("webhook", shell_complete=complete_webhook)
@click.argument("criteria", nargs=-1, required=True, metavar="JSONPATH=VALUE...")
@click.option(
    "-k",
    "--kind",
    type=click.Choice(get_args(Kind)),
    default="matches",
    show_default=True,
    help="What is being written; once takes a JSONPATH alone.",
)
@as_json_option
@asks
def try_criteria(
    here: Here, webhook: str, criteria: tuple[str, ...], kind: Kind, as_json: bool
) -> None:
    """Try criteria on the last 100 events of WEBHOOK: which would have fitted, and what fails for the others.

    A VALUE is JSON, or plain text; in when and only it may be operators. Prints the criteria last, as they are written
    in a task's JSON or in the webhook's YAML. Changes nothing. Exits with 1 if no event would have fitted.

    \b
    Examples:
      webhook-bridge try github-deploys '$.ref=refs/heads/main' '$.repository.private=true'
      webhook-bridge try github-deploys --kind when '$.commits={"$exists": true}'
      webhook-bridge try orders --kind once '$.order.id'
    """
    found = here.ask(
        "GET webhooks/{name}/try",
        lambda bridge: operations.try_criteria(bridge, webhook, kind, criteria),
        name=webhook,
        kind=kind,
        criteria=criteria,
    )
    columns: Columns = {
        "EVENT": "eventId",
        "RECEIVED AT": "receivedAt",
        "RESULT": partial(_result, kind),
    }
    echo_list(found["events"], columns, "no events", as_json)
    if not as_json:
        click.echo(f"{found['fitting']} of {len(found['events'])} would have fitted", err=True)
        if found["leftOut"]:
            click.echo(
                f"{found['leftOut']} more were not tried: their payloads are too large", err=True
            )
        click.echo(plain(f"\n{found['written']}", lines=True))
    sys.exit(not found["fitting"])


def _result(kind: Kind, tried: Json) -> str:
    if tried["fits"]:
        return "starts" if kind == "once" else "fits"
    return f"same key as {tried['sameAs']}" if "sameAs" in tried else "; ".join(tried["failed"])
