"""``webhook-bridge check``: definitions and settings, and the Conductor and database that they
name."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from admin.cli.bridges import Here, asks
from admin.cli.common import as_json_option, echo_json
from admin.wording.terminal import plain


@click.command()
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option(
    "--offline", is_flag=True, help="Check only the definitions and settings: contact no server."
)
@click.option(
    "--without-secrets", is_flag=True, help="Accept that variables are not set: for Git hooks, CI."
)
@as_json_option
@asks
def check(
    here: Here, path: Path | None, offline: bool, without_secrets: bool, as_json: bool
) -> None:
    """Check the webhook definitions, the settings, and the Conductor and database that they name.

    The definitions are those of PATH, a file or a folder, or of BRIDGE_WEBHOOKS.

    Prints each problem as `FILE:LINE: where: what is wrong; remedy`, and warns of what is risky. Exits with 1 if there
    is an error; with warnings only, it exits with 0.

    Checking Conductor takes at most 15 seconds and changes nothing there. Receivers and starts are compared with its
    workflow definitions. An unreachable server is a warning, so that definitions can be checked anywhere. A server that
    answers but can't be used is an error: the address is not that of Conductor's API, the key is refused or lacks a
    permission, or Conductor is too old. The same goes for the database: errors are a wrong password, a missing
    database, no right to create the bridge's tables, a PostgreSQL older than 13, a file that is no SQLite database, or
    tables of a newer bridge. Whatever a running bridge has set aside is an error, too.

    \b
    Examples:
      webhook-bridge check
      webhook-bridge check --offline
      webhook-bridge check new.yaml && mv new.yaml config/webhooks.yaml
      webhook-bridge check --offline --without-secrets config/webhooks
    """
    if path is not None:
        here.settings = here.settings.model_copy(update={"bridge_webhooks": path})
    found = here.checked(offline, without_secrets)
    if as_json:
        echo_json(found["problems"])
    else:
        for line in found["lines"]:
            click.echo(plain(line))
        for note in found["notes"]:
            click.echo(plain(note), err=True)
    sys.exit(found["failed"])
