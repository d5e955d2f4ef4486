"""``webhook-bridge try``: criteria, tried on what has arrived."""

from __future__ import annotations

import sys
from functools import partial
from typing import get_args

import click

from admin.api.base import Json
from admin.api.objects import TriedEvent
from admin.cli.common import Columns, Here, as_json_option, complete_webhook, echo_list, here
from admin.cli.groups import fail
from admin.cli.tables import plain
from admin.events.search import split_condition
from admin.explain.trials import Kind, Line, Trier, read_line, try_newest, written
from store.hiding import Hidden


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
@here
def try_criteria(here: Here, webhook: str, criteria: tuple[str, ...], kind: Kind, as_json: bool) -> None:
    """Try criteria on the last 100 events of WEBHOOK: which would have fitted, and what fails for the others.

    A VALUE is JSON, or plain text; in when and only it may be operators. Prints the criteria last, as they are written
    in a task's JSON or in the webhook's YAML. Changes nothing. Exits with 1 if no event would have fitted.

    \b
    Examples:
      webhook-bridge try github-deploys '$.ref=refs/heads/main' '$.repository.private=true'
      webhook-bridge try github-deploys --kind when '$.commits={"$exists": true}'
      webhook-bridge try orders --kind once '$.order.id'
    """
    bridge = here.bridge
    bridge.webhook(webhook)
    if kind == "once" and len(criteria) > 1:
        raise click.UsageError("once has one key: give one JSONPATH")
    lines = [_line(text, kind, bridge.hide(webhook)) for text in criteria]
    for line in lines:
        if line.problem is not None:
            fail(f"{line.path}: {line.problem}")
    trier = Trier(kind, lines)
    found = try_newest(bridge, webhook, trier)
    tried = [TriedEvent.of(one, one.event, failed=list(one.failed)) for one in found.tried]
    columns: Columns = {"EVENT": "eventId", "RECEIVED AT": "receivedAt", "RESULT": partial(_result, kind)}
    echo_list(tried, columns, "no events", as_json)
    if as_json:
        sys.exit(0 if found.fitting else 1)
    click.echo(f"{found.fitting} of {len(found.tried)} would have fitted", err=True)
    if found.left_out:
        click.echo(f"{found.left_out} more were not tried: their payloads are too large", err=True)
    click.echo(plain(f"\n{written(kind, trier.criteria).rstrip()}", lines=True))
    sys.exit(0 if found.fitting else 1)


def _result(kind: Kind, tried: Json) -> str:
    if tried["fits"]:
        return "starts" if kind == "once" else "fits"
    return f"same key as {tried['sameAs']}" if "sameAs" in tried else "; ".join(tried["failed"])


def _line(text: str, kind: Kind, hide: Hidden) -> Line:
    return read_line(text, "", kind, hide) if kind == "once" else read_line(*split_condition(text), kind, hide)
