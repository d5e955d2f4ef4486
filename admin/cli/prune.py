"""``webhook-bridge prune``: deletes old finished events now, instead of when BRIDGE_RETENTION says so."""

from __future__ import annotations

import click

from admin.cli.common import Here, here
from config.quantities import parse_duration
from store.records import iso

_STEP = 200


@click.command()
@click.option("--older-than", required=True, metavar="DURATION", help="Since the events finished, such as 7d.")
@click.option("-y", "--yes", is_flag=True, help="Don't ask, for scripts.")
@here
def prune(here: Here, older_than: str, yes: bool) -> None:
    """Delete finished events, and what belongs to them, that are older than a DURATION.

    The worker does this by itself, by BRIDGE_RETENTION. A repeated delivery of a pruned event is a new event. Pending
    events stay. Ctrl-C stops between two small steps.

    \b
    Example:
      webhook-bridge prune --older-than 7d
    """
    try:
        before = here.store.now() - int(parse_duration(older_than) * 1000)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--older-than") from None
    if not yes:
        click.confirm(f"Delete all events that finished before {iso(before)}?", abort=True, err=True)
    number, more = 0, True
    while more:
        step = here.store.maintenance.prune(before, _STEP)
        number, more = number + step.events, step.more
        click.echo(f"\r{number} events deleted", err=True, nl=False)
    click.echo(err=True)
    here.bridge.record("pruned", "", f"{number} events that finished before {iso(before)}")
