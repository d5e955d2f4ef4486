"""``webhook-bridge migrate-store``: moves everything from one store to another."""

from __future__ import annotations

import sys
import time

import click

from admin.cli.groups import fail
from config.urls import check_database_url, without_password
from store.errors import NewerStore, StoreUnavailable
from store.open import open_store
from store.transfer import CantTransfer, Progress, transfer

_EVERY = 1.0
"""Seconds between two lines of progress on one table."""


class _Report:
    """Prints progress on stderr."""

    def __init__(self) -> None:
        self._table = ""
        self._said = 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.table != self._table or progress.done == progress.total or now > self._said + _EVERY:
            self._table, self._said = progress.table, now
            click.echo(f"{progress.table}: {progress.done} of {progress.total}", err=True)


@click.command("migrate-store")
@click.argument("source", metavar="FROM")
@click.argument("to", metavar="TO")
def migrate_store(source: str, to: str) -> None:
    """Move everything from one store to another, such as from SQLite to PostgreSQL or back.

    FROM and TO are URLs as in BRIDGE_DATABASE; give a password in PGPASSWORD or .pgpass rather than here. Stop
    relays and workers first. TO must be empty. Afterwards both are compared by counts and checksums. If the command is
    interrupted, run it again to continue. FROM is left as it is.

    \b
    Example:
      webhook-bridge migrate-store sqlite:///data/bridge.db postgresql://bridge@db/bridge
    """
    for name, url in (("FROM", source), ("TO", to)):
        try:
            check_database_url(url)
        except ValueError as error:
            raise click.BadParameter(f"{without_password(url)}: {error}", param_hint=name) from None
    if without_password(source) == without_password(to):
        fail("FROM and TO are the same store")
    try:
        stores = open_store(source, migrate=False), open_store(to)
        try:
            totals = transfer(*stores, without_password(source), _Report())
        finally:
            for store in stores:
                store.close()
    except (CantTransfer, StoreUnavailable, NewerStore) as error:
        fail(error)
    except KeyboardInterrupt:
        click.echo("interrupted; run the same command again to continue", err=True)
        sys.exit(1)
    rows = ", ".join(f"{number} {table}" for table, number in totals.items() if number)
    click.echo(f"moved and compared: {rows or 'nothing, the store was empty'}")
    click.echo(f"now set BRIDGE_DATABASE={without_password(to)} for every process, and start them", err=True)
