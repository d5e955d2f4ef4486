"""``webhook-bridge check``: definitions and settings, and the Conductor and database that they name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import click

from admin.api.objects import problem, setting_problem
from admin.check.advice import find_secrets_in_git, on_proxies, on_retention, sample_events
from admin.check.health import would_be_accepted
from admin.cli.common import (
    Here,
    as_json_option,
    echo_json,
    here,
)
from admin.cli.tables import counted, plain
from admin.conductor import connect
from admin.definitions.writer import CantWrite, DefinitionsFolder
from admin.events.kept_rejections import KeptRejections
from admin.explain.set_aside import name_of, next_try, why
from config.references import NOT_SET, environment_with_dotenv
from config.settings import SettingsError, find_unknown_settings, port_of
from config.webhooks import Definitions, DefinitionsError, Problem
from platforms import PLATFORMS
from store.errors import NewerStore, StoreMissing, StoreRefused, StoreUnavailable
from worker.conductor.errors import ConductorError
from worker.conductor.server import Server
from worker.discovery.probe import CheckResult, done_within, probe
from worker.notify.sender import Apprise
from worker.workflow_definitions.check import SECONDS, Checked, check_workflows

_SET_ASIDE_SHOWN = 20
_BROKEN_SHOWN = 20


@click.command()
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--offline", is_flag=True, help="Check only the definitions and settings: contact no server.")
@click.option("--without-secrets", is_flag=True, help="Accept that variables are not set: for Git hooks, CI.")
@as_json_option
@here
def check(here: Here, path: Path | None, offline: bool, without_secrets: bool, as_json: bool) -> None:
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
    try:
        definitions = here.definitions
    except DefinitionsError as error:
        sys.exit(_on_definitions(error, without_secrets, as_json))
    unknown = find_unknown_settings(environment_with_dotenv())
    results = [(name, CheckResult("warning", "the bridge knows no such setting", remedy)) for name, remedy in unknown]
    results += [(name, result) for name in ("PORT", "ADMIN_PORT") for result in _on_port(name)]
    results += [("BRIDGE_TRUSTED_PROXIES", result) for result in on_proxies(here.settings, definitions)]
    results += [
        ("BRIDGE_RETENTION", result) for result in on_retention(here.settings.bridge_retention, definitions.webhooks)
    ]
    results += _on_platforms(definitions)
    results += [("BRIDGE_NOTIFY", result) for result in _on_notify(here)]
    results += [("BRIDGE_ADMIN_WRITES", result) for result in _on_writes(here)]
    results += [("CONDUCTOR_AUTH_KEY", result) for result in _on_key(here)]
    workflow_problems: tuple[Problem, ...] = ()
    if not offline:
        about_conductor = _ask_conductor(here, definitions)
        if all(result.usable for result in about_conductor):
            workflow_problems, unread = _check_workflows(here, definitions)
            about_conductor += unread
        results += [("CONDUCTOR_SERVER_URL", result) for result in about_conductor]
        results += [("BRIDGE_DATABASE", result) for result in _ask_store(here)]
        results += _set_aside(here)
        results += [("waiting tasks", result) for result in _broken_tasks(here)]
    warnings = (*definitions.warnings, *workflow_problems, *find_secrets_in_git(definitions))
    wrong = any(result.level == "error" for _, result in results) or any(one.fails_check for one in warnings)
    if as_json:
        risky = [setting_problem(name, result) for name, result in results if result.level != "note"]
        echo_json([*map(problem, warnings), *risky])
        sys.exit(wrong)
    for warning in warnings:
        click.echo(plain(warning))
    number, failing = len(definitions.webhooks), sum(warning.fails_check for warning in warnings)
    summary = f"{number} webhook{'' if number == 1 else 's'}, {failing or 'no'} error{'' if failing == 1 else 's'}"
    click.echo(f"{here.settings.bridge_webhooks}: {summary}", err=True)
    for name, result in results:
        click.echo(f"{result.level}: {name}: {plain(result)}", err=True)
    sys.exit(wrong)


def _on_platforms(definitions: Definitions) -> list[tuple[str, CheckResult]]:
    """The platforms in use of which only the bridge's authors say how they prove deliveries."""
    used = sorted({webhook.platform for webhook in definitions.webhooks})
    what = "nobody but the bridge's authors has confirmed how it proves its deliveries"
    remedy = "try it before you rely on it, and tell us"
    return [(name, CheckResult("note", what, remedy)) for name in used if not PLATFORMS[name].confirmed]


def _on_definitions(error: DefinitionsError, without_secrets: bool, as_json: bool) -> bool:
    """Prints what is wrong with the definitions; whether it's more than secrets that are left out on purpose."""
    unset = {one for one in error.problems if without_secrets and one.what.endswith(NOT_SET)}
    wrong = [one for one in error.problems if one not in unset]
    if as_json:
        echo_json(list(map(problem, (*wrong, *error.warnings))))
        return bool(wrong)
    for found in sorted((*wrong, *error.warnings)):
        click.echo(plain(found))
    errors = counted(len(wrong), "error")
    if without_secrets:
        click.echo(f"{errors}; left out: {counted(len(unset), 'secret')}, not set here", err=True)
    else:
        click.echo(f"{errors}; the bridge keeps using the last good definitions of each file", err=True)
    return bool(wrong)


def _on_port(name: str) -> list[CheckResult]:
    """Why the relay or the admin page wouldn't start."""
    try:
        port_of(environment_with_dotenv(), name, 8000)
    except SettingsError as error:
        return [_result("error", str(error).removeprefix(f"{name}: "))]
    return []


def _on_notify(here: Here) -> list[CheckResult]:
    """Why the worker wouldn't start with these URLs for messages."""
    urls = here.settings.bridge_notify
    try:
        if urls is not None:
            Apprise(urls.get_secret_value())
    except SettingsError as error:
        return [_result("error", str(error).removeprefix("BRIDGE_NOTIFY: "))]
    return []


def _on_writes(here: Here) -> list[CheckResult]:
    """Why the page couldn't write webhooks, though it may."""
    settings = here.settings
    try:
        if settings.bridge_admin_writes:
            DefinitionsFolder(settings.bridge_webhooks, PLATFORMS).check_writable()
    except CantWrite as error:
        return [_result("warning", error)]
    return []


def _on_key(here: Here) -> list[CheckResult]:
    """Whether half of Conductor's access key is missing; the worker would then call without it."""
    settings = here.settings
    if bool(settings.conductor_auth_key) == bool(settings.conductor_auth_secret):
        return []
    missing = "CONDUCTOR_AUTH_SECRET" if settings.conductor_auth_key else "CONDUCTOR_AUTH_KEY"
    return [_result("error", f"{missing} isn't set, so Conductor is called without an access key; set both, or none")]


def _ask_conductor(here: Here, definitions: Definitions) -> list[CheckResult]:
    """Findings about the Conductor that the settings name."""
    return probe(Server.of(here.settings), definitions, here.settings.bridge_leave_to_conductor)


def _check_workflows(here: Here, definitions: Definitions) -> tuple[tuple[Problem, ...], list[CheckResult]]:
    """What doesn't fit Conductor's workflow definitions, and why some of them couldn't be compared."""
    # `Conductor` bounds each call, but not the look-up of the server's name.
    found: list[Checked | ConductorError] = []

    def check() -> None:
        try:
            left = here.settings.bridge_leave_to_conductor
            conductor = connect(here.settings, SECONDS)
            checked = check_workflows(conductor, definitions, documents=sample_events, seconds=SECONDS, left=left)
            found.append(checked)
        except ConductorError as error:
            found.append(error)

    done_within(2 * SECONDS, check)
    match found:
        case [Checked(problems, "")]:
            return problems, []
        case [Checked(problems, unread)]:
            return problems, [CheckResult("warning", f"not all workflow definitions could be read: {unread}")]
        case _:
            reason = f": {found[0]}" if found else " in time"
            return (), [
                CheckResult("warning", f"receivers and starts aren't compared: workflows can't be listed{reason}")
            ]


def _ask_store(here: Here) -> list[CheckResult]:
    """Findings about the database, and what relay and worker last reported in it."""
    try:
        advice, facts = here.store.maintenance.advice(), here.store.facts.all()
    except StoreMissing:
        return []  # nothing has run here yet
    except (StoreRefused, NewerStore) as error:
        return [_result("error", error)]
    except StoreUnavailable as error:
        return [_result("warning", error)]
    found = [CheckResult("warning", one) for one in advice]
    for process in ("relay", "worker"):
        if said := facts.get(f"definitions_error:{process}"):
            what = f"the {process} found errors in the definitions, and keeps using the last good ones: {said}"
            found.append(CheckResult("warning", what))
    if (conductor := facts.get("conductor", "up")) != "up":
        found.append(CheckResult("warning", f"the worker can't use Conductor: {conductor}"))
    if fails := facts.get("index_fails"):
        found.append(CheckResult("warning", f"events wait for Conductor's index: {fails}"))
    if missed := facts.get("index_misses"):
        what = f"{missed} were missing from Conductor's index when the worker last reconciled"
        found.append(CheckResult("warning", what, "it lags, or has lost them"))
    for name, (number, seen) in sorted(KeptRejections(here.bridge).acceptable().items()):
        remedy = f"webhook-bridge rejections retry --webhook {name}"
        found.append(CheckResult("warning", would_be_accepted(name, number, seen), remedy))
    return found


def _broken_tasks(here: Here) -> list[CheckResult]:
    """The waiting tasks that no event can take."""
    try:
        found = here.bridge.broken_tasks(_BROKEN_SHOWN)
    except (StoreUnavailable, NewerStore):  # which has been reported
        return []
    return [
        CheckResult(
            "warning",
            f"{task.reference_name} of {task.workflow} ({task.workflow_id}): {task.broken}",
            "correct the workflow, and start it again",
        )
        for task in found
    ]


def _set_aside(here: Here) -> list[tuple[str, CheckResult]]:
    """What the worker has set aside, by name."""
    try:
        found = here.store.quarantine.items(limit=_SET_ASIDE_SHOWN + 1)
        number = sum(here.store.quarantine.counts().values())
    except (StoreUnavailable, NewerStore):  # which has been reported
        return []
    named = [(name_of(item), CheckResult("error", why(item), next_try(item))) for item in found[:_SET_ASIDE_SHOWN]]
    if len(found) > _SET_ASIDE_SHOWN:
        named.append(("set aside", CheckResult("error", f"{number - _SET_ASIDE_SHOWN} more items")))
    return named


def _result(level: Literal["error", "warning"], error: Exception | str) -> CheckResult:
    what, _, remedy = str(error).partition("; ")
    return CheckResult(level, what, remedy)
