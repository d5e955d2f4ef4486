"""The commands about definitions and webhooks: check, webhooks, pause, resume, schema, import."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Literal

import click

from admin import api_objects as shapes
from admin.advice import on_proxies
from admin.bridge import Bridge, Readable
from admin.cli.common import (
    Here,
    as_json_option,
    complete_webhook,
    echo_json,
    echo_table,
    fail,
    here,
    me,
    webhook_named,
)
from admin.cli.tables import plain
from admin.definitions.kept_in_git import find_secrets_in_git
from admin.definitions.schema import json_schema
from admin.orkes.importing import NotOrkes, convert, read_webhooks, to_yaml
from admin.quarantine import name_of, next_try, why
from config.webhooks import Definitions, DefinitionsError
from relay.platforms import PLATFORMS
from store.protocols import NewerStore, StoreMissing, StoreRefused, StoreUnavailable
from store.records import Change
from worker.discovery.probe import Finding, probe

_SET_ASIDE_SHOWN = 20


@click.command()
@click.option("--offline", is_flag=True, help="Look at the definitions and settings only: ask no server.")
@as_json_option
@here
def check(here: Here, offline: bool, as_json: bool) -> None:
    """Check the webhook definitions, the settings, and the Conductor and database that they name.

    Prints each problem as `FILE:LINE: where: what is wrong; remedy`, and warnings of what is risky. Exits with 1 if
    there is an error; warnings alone are 0.

    Conductor is asked for 5 seconds at most, by calls that change nothing there. That it is away is a warning, so that
    definitions can be checked anywhere. A server that answers and can't be used is an error: another address than that
    of Conductor's API, a key that is refused or lacks a permission, a Conductor that is too old. So it is with the
    database: an error is a wrong password, no such database, no right to make the bridge's tables, a PostgreSQL older
    than 13, tables of a newer bridge. And whatever a running bridge has set aside, since it alone fails, is one.

    \b
    Examples:
      webhook-bridge check
      webhook-bridge check --offline
      BRIDGE_WEBHOOKS=new.yaml webhook-bridge check && mv new.yaml config/webhooks.yaml
    """
    try:
        definitions = here.definitions
    except DefinitionsError as error:
        if as_json:
            echo_json([shapes.problem(problem) for problem in (*error.problems, *error.warnings)])
        else:
            for problem in sorted((*error.problems, *error.warnings)):
                click.echo(plain(problem))
            errors = "1 error" if len(error.problems) == 1 else f"{len(error.problems)} errors"
            click.echo(f"{errors}; the bridge keeps the last good definitions of each file", err=True)
        sys.exit(1)
    findings = [(shapes.PROXIES, finding) for finding in on_proxies(here.settings, definitions)]
    if not offline:
        findings += [(shapes.CONDUCTOR, finding) for finding in _ask_conductor(here, definitions)]
        findings += [(shapes.DATABASE, finding) for finding in _ask_store(here)]
        findings += _set_aside(here)
    warnings = (*definitions.warnings, *find_secrets_in_git(definitions))
    wrong = any(finding.level == "error" for _, finding in findings) or any(one.fails_check for one in warnings)
    if as_json:
        problems = [shapes.problem(problem) for problem in warnings]
        problems += [shapes.setting_problem(name, finding) for name, finding in findings if finding.level != "note"]
        echo_json(problems)
        sys.exit(wrong)
    for warning in warnings:
        click.echo(plain(warning))
    number = len(definitions.webhooks)
    click.echo(f"{here.settings.bridge_webhooks}: {number} webhook{'' if number == 1 else 's'}, no errors", err=True)
    for name, finding in findings:
        click.echo(f"{finding.level}: {name}: {plain(finding)}", err=True)
    sys.exit(wrong)


def _ask_conductor(here: Here, definitions: Definitions) -> list[Finding]:
    """What the Conductor that the settings name is like."""
    settings = here.settings
    secret = settings.conductor_auth_secret
    return probe(
        settings.conductor_server_url,
        settings.conductor_auth_key,
        secret.get_secret_value() if secret else None,
        definitions.receivers,
        definitions.starts,
    )


def _ask_store(here: Here) -> list[Finding]:
    """Whether the database can be used, what its settings put at risk, and what the worker last said in it."""
    try:
        advice, facts = here.store.advice(), here.store.facts()
    except StoreMissing:
        return []  # nothing has ever run here
    except (StoreRefused, NewerStore) as error:
        return [_finding("error", error)]
    except StoreUnavailable as error:
        return [_finding("warning", error)]
    found = [Finding("warning", one) for one in advice]
    for process in ("relay", "worker"):
        if said := facts.get(f"definitions_error:{process}"):
            what = f"the {process} finds errors in the definitions, and has the last good ones in force: {said}"
            found.append(Finding("warning", what))
    if (conductor := facts.get("conductor", "up")) != "up":
        found.append(Finding("warning", f"the worker says that it can't use Conductor: {conductor}"))
    if fails := facts.get("index_fails"):
        found.append(Finding("warning", f"the worker says that events wait for Conductor's index: {fails}"))
    if missed := facts.get("index_misses"):
        what = f"the worker says that {missed} were not in Conductor's index when it last read all"
        found.append(Finding("warning", what, "it lags, or has lost them"))
    return found


def _set_aside(here: Here) -> list[tuple[str, Finding]]:
    """What the worker has set aside, by name."""
    try:
        found = here.store.quarantined(limit=_SET_ASIDE_SHOWN + 1)
        number = sum(here.store.quarantine_counts().values())
    except (StoreUnavailable, NewerStore):  # which has been said
        return []
    named = [(name_of(item), Finding("error", why(item), next_try(item))) for item in found[:_SET_ASIDE_SHOWN]]
    if len(found) > _SET_ASIDE_SHOWN:
        named.append(("set aside", Finding("error", f"{number - _SET_ASIDE_SHOWN} more items")))
    return named


def _finding(level: Literal["error", "warning"], error: Exception) -> Finding:
    what, _, remedy = str(error).partition("; ")
    return Finding(level, what, remedy)


@click.command()
@as_json_option
@here
def webhooks(here: Here, as_json: bool) -> None:
    """List the webhooks: name, URL, platform, and since when each is verified.

    The URL is what to enter at the platform: BRIDGE_PUBLIC_URL and the webhook's path. A webhook is Unverified until
    its first valid delivery or an answered challenge, and again after a change of its verifier or secret.
    """
    definitions = here.definitions
    verified: dict[str, int | None] = {}
    paused: dict[str, int] = {}
    try:
        verified = Bridge(here.settings, here.store, Readable(definitions.by_name)).verified_at()
        paused = here.store.paused()
    except StoreMissing as error:
        click.echo(f"note: {error}; so nothing is verified yet", err=True)
    found = [
        shapes.webhook(
            webhook,
            shapes.url_of(webhook, here.settings),
            verified.get(webhook.name),
            paused.get(webhook.name),
        )
        for webhook in definitions.webhooks
    ]
    if as_json:
        echo_json(found)
        return
    columns = ["name", "url", "platform", "status", "verifiedAt", *(["pausedAt"] if paused else [])]
    headings = ["NAME", "URL", "PLATFORM", "STATUS", "VERIFIED AT", "PAUSED AT"][: len(columns)]
    echo_table(headings, [[one.get(column) for column in columns] for one in found], "no webhooks are defined")


@click.command()
@click.argument("webhook", shell_complete=complete_webhook)
@here
def pause(here: Here, webhook: str) -> None:
    """Accept the webhook's deliveries and decide nothing, until it is resumed.

    For a maintenance window of what its workflows use. Deliveries are verified, stored and answered as always. Calls
    to Conductor that were decided before are still made.

    
    Example:
      webhook-bridge pause orders
    """
    name = webhook_named(here, webhook).name
    store = here.store
    store.pause(name, store.now())
    store.record_change(Change(store.now(), me(), "paused", name, ""))
    click.echo(plain(f"{name} is paused: deliveries are accepted, nothing is decided; webhook-bridge resume {name}"))


@click.command()
@click.argument("webhook", shell_complete=complete_webhook)
@here
def resume(here: Here, webhook: str) -> None:
    """Decide for a paused webhook again, beginning with what came meanwhile.

    As after a downtime of the bridge: what came is decided in order, and is still taken by the tasks that came to wait
    within its hold, even if that has ended meanwhile.

    
    Example:
      webhook-bridge resume orders
    """
    store = here.store
    if not store.resume(webhook):  # the definition of a paused webhook may be gone
        fail(f"{webhook} isn't paused; paused are: {', '.join(store.paused()) or 'none'}")
    store.record_change(Change(store.now(), me(), "resumed", webhook, ""))
    click.echo(plain(f"{webhook} is resumed"))


@click.command()
def schema() -> None:
    """Print the JSON Schema of the YAML, for editors.

    The shipped config/webhooks.yaml names it in its first line, so that editors complete and check while you type.

    \b
    Example:
      webhook-bridge schema > config/webhooks.schema.json
    """
    echo_json(json_schema(PLATFORMS))


@click.command("import")
@click.argument("file", type=click.File("r", encoding="utf-8"))
def import_(file: Iterable[str]) -> None:
    """Turn the webhook JSON of Orkes Conductor into YAML.

    FILE is the answer of Orkes' `GET /api/metadata/webhook` (or one webhook of it); `-` reads standard input. The
    YAML goes to standard output. No secret is copied: each becomes a ${NAME}, and which ones to set is said on
    stderr and beside each webhook.

    \b
    Example:
      curl -s -H "X-Authorization: $TOKEN" https://ORKES/api/metadata/webhook > orkes.json
      webhook-bridge import orkes.json > webhooks/orkes.yaml
    """
    try:
        made = convert(read_webhooks("".join(file)))
    except (NotOrkes, UnicodeDecodeError) as error:
        fail(error)
    click.echo(plain(to_yaml(made), lines=True), nl=False)
    for one in made:
        for variable, what in one.variables.items():
            click.echo(plain(f"set {variable}: {what}"), err=True)
    unsafe = [one for one in made if one.unsafe]
    for one in unsafe:
        click.echo(plain(f"{one.keys['name']}: {one.notes[-1]}"), err=True)
    sys.exit(1 if unsafe else 0)
