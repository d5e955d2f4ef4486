"""``webhook-bridge events diff``: two events, field by field."""

from __future__ import annotations

import json
import sys

import click

from admin.cli.common import Here, echo_table, here
from admin.cli.groups import fail
from admin.cli.tables import compact, cut
from admin.events.differences import compared, differences, place

_LONGEST = 60
"""Characters of a value in a table."""
_LONGEST_FIELD = 200
"""Characters of a field's path there: all rows are as wide as the widest, and a sender may choose long keys."""


@click.command(short_help="Compare two events, field by field.")
@click.argument("before")
@click.argument("after")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@here
def diff(here: Here, before: str, after: str, as_json: bool) -> None:
    """Compare the payloads of two events, field by field, headers and query included.

    Exits with 1 if they differ. What `hide` names is not compared.

    \b
    Example:
      webhook-bridge events diff 01935c2e-6f3a last
    """
    bridge = here.bridge
    one, other = (bridge.shown(bridge.event_meant(event_id)) for event_id in (before, after))
    for event in (one, other):
        if event.unreadable is not None:
            fail(f"event {event.id} can't be read: {event.unreadable}")
    result = differences(compared(one), compared(other))
    if as_json:
        found = [{"what": it.kind, "path": it.path, "before": it.before, "after": it.after} for it in result.found]
        click.echo(json.dumps({"complete": result.complete, "differences": found}, indent=2))
    else:
        rows = [
            [
                it.kind,
                cut(place(it), _LONGEST_FIELD),
                compact(it.before, _LONGEST) if it.kind != "added" else "",
                compact(it.after, _LONGEST) if it.kind != "removed" else "",
            ]
            for it in result.found
        ]
        echo_table(["WHAT", "FIELD", "BEFORE", "AFTER"], rows, "they are the same")
        if not result.complete:
            click.echo("there is too much to compare all of it", err=True)
    sys.exit(1 if result.found or not result.complete else 0)
