"""The commands that look after the store and its operators: backup, prune, notify, migrate-store."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from admin.cli.bridges import Here, here
from admin.cli.common import DURATION
from admin.cli.groups import fail
from config.urls import check_database_url, without_password
from store.errors import CantBackUp, StoreUnavailable
from store.open import open_store
from store.records import iso
from store.transfer import CantTransfer, Progress, transfer
from worker.notify import Apprise


@click.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@here
def backup(here: Here, file: Path) -> None:
    """Copy the store to FILE, while everything runs.

    For a store on SQLite: the copy is one file, with everything that was accepted before the command began. Only
    you can read it. To restore it, stop the bridge and put it where BRIDGE_DATABASE says. PostgreSQL has pg_dump.

    \b
    Example:
      webhook-bridge backup bridge-$(date +%F).db
    """
    if file.exists():
        fail(f"{file} exists already: name a new file")
    try:
        here.store.maintenance.backup(file)
    except CantBackUp as error:
        fail(error)
    except OSError as error:
        fail(f"{file} can't be written: {error.strerror}")
    except StoreUnavailable as error:
        fail(f"the store can't be copied to {file}: {error}")
    click.echo(
        f"{file}: {file.stat().st_size:,} bytes. The definitions and the secrets aren't in it.",
        err=True,
    )


@click.command()
@click.option(
    "--older-than", type=DURATION, required=True, help="Since the events finished, such as 7d."
)
@click.option("-y", "--yes", is_flag=True, help="Don't ask, for scripts.")
@here
def prune(here: Here, older_than: float, yes: bool) -> None:
    """Delete finished events, and what belongs to them, that are older than a DURATION.

    The worker does this by itself, by BRIDGE_RETENTION. A repeated delivery of a pruned event is a new event. Pending
    events stay. Ctrl-C stops between two small steps.

    \b
    Example:
      webhook-bridge prune --older-than 7d
    """
    before = here.store.now() - int(older_than * 1000)
    if not yes:
        click.confirm(
            f"Delete all events that finished before {iso(before)}?", abort=True, err=True
        )
    number, more = 0, True
    while more:
        step = here.store.maintenance.prune(before, 200)
        number, more = number + step.events, step.more
        click.echo(f"\r{number} events deleted", err=True, nl=False)
    click.echo(err=True)
    here.bridge.record("pruned", "", f"{number} events that finished before {iso(before)}")


@click.command()
@click.option("--test", is_flag=True, required=True, help="Send a message that says it is a test.")
@here
def notify(here: Here, test: bool) -> None:
    """Send a test message to BRIDGE_NOTIFY.

    The leading worker sends messages there: about failed events, a webhook that rejects everything,
    an unreachable Conductor or store, broken definitions, and events that pile up. It sends one
    when the problem begins, and one when it is over.
    """
    urls = here.settings.bridge_notify
    if urls is None:
        fail(
            "BRIDGE_NOTIFY is not set; set it to Apprise URLs, such as slack://TOKEN or"
            " json://HOST/PATH"
        )
    body = (
        "If you can read this, you will be notified when something is wrong with the webhook"
        " bridge."
    )
    sent = Apprise(urls.get_secret_value()).send("this is a test", body, resolved=True)
    failed = [str(number) for number, ok in enumerate(sent, 1) if not ok]
    if failed:
        fail(
            f"not sent to URL number {', '.join(failed)} of BRIDGE_NOTIFY; check its token and host"
            " name, and whether the network lets requests out"
        )
    click.echo("sent")


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

    def report(progress: Progress) -> None:
        said = f"\r{progress.table}: {progress.done} of {progress.total}"
        click.echo(said, err=True, nl=progress.done == progress.total)

    try:
        stores = open_store(source, migrate=False), open_store(to)
        try:
            totals = transfer(*stores, without_password(source), report)
        finally:
            for store in stores:
                store.close()
    except CantTransfer as error:
        fail(error)
    except KeyboardInterrupt:
        click.echo("interrupted; run the same command again to continue", err=True)
        sys.exit(1)
    rows = ", ".join(f"{number} {table}" for table, number in totals.items() if number)
    click.echo(f"moved and compared: {rows or 'nothing, the store was empty'}")
    click.echo(
        f"now set BRIDGE_DATABASE={without_password(to)} for every process, and start them",
        err=True,
    )
