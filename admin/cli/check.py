"""``webhook-bridge check``: definitions, settings, and the Conductor and database that they name."""

from __future__ import annotations

import sys
from typing import Literal

import click

from admin.api.objects import problem, setting_problem
from admin.check.proxies import on_proxies
from admin.check.secrets_in_git import find_secrets_in_git
from admin.cli.common import (
    Here,
    as_json_option,
    echo_json,
    here,
)
from admin.cli.tables import plain
from admin.explain.set_aside import name_of, next_try, why
from config.webhooks import Definitions, DefinitionsError
from store.errors import NewerStore, StoreMissing, StoreRefused, StoreUnavailable
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
            echo_json(list(map(problem, (*error.problems, *error.warnings))))
        else:
            for found in sorted((*error.problems, *error.warnings)):
                click.echo(plain(found))
            errors = "1 error" if len(error.problems) == 1 else f"{len(error.problems)} errors"
            click.echo(f"{errors}; the bridge keeps the last good definitions of each file", err=True)
        sys.exit(1)
    findings = [("BRIDGE_TRUSTED_PROXIES", finding) for finding in on_proxies(here.settings, definitions)]
    if not offline:
        findings += [("CONDUCTOR_SERVER_URL", finding) for finding in _ask_conductor(here, definitions)]
        findings += [("BRIDGE_DATABASE", finding) for finding in _ask_store(here)]
        findings += _set_aside(here)
    warnings = (*definitions.warnings, *find_secrets_in_git(definitions))
    wrong = any(finding.level == "error" for _, finding in findings) or any(one.fails_check for one in warnings)
    if as_json:
        risky = [setting_problem(name, finding) for name, finding in findings if finding.level != "note"]
        echo_json([*map(problem, warnings), *risky])
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
        advice, facts = here.store.maintenance.advice(), here.store.facts.all()
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
        found = here.store.quarantine.items(limit=_SET_ASIDE_SHOWN + 1)
        number = sum(here.store.quarantine.counts().values())
    except (StoreUnavailable, NewerStore):  # which has been said
        return []
    named = [(name_of(item), Finding("error", why(item), next_try(item))) for item in found[:_SET_ASIDE_SHOWN]]
    if len(found) > _SET_ASIDE_SHOWN:
        named.append(("set aside", Finding("error", f"{number - _SET_ASIDE_SHOWN} more items")))
    return named


def _finding(level: Literal["error", "warning"], error: Exception) -> Finding:
    what, _, remedy = str(error).partition("; ")
    return Finding(level, what, remedy)
