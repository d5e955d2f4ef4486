"""``webhook-bridge check``: definitions and settings, and the Conductor and database that they name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from admin.api.objects import problem, setting_problem
from admin.check.advice import find_secrets_in_git, on_proxies, on_retention
from admin.check.health import HOUR, Level, ago, would_be_accepted
from admin.cli.common import Here, as_json_option, echo_json, here
from admin.cli.tables import counted, plain
from admin.definitions.entry_text import files_in
from admin.definitions.writer import CantWrite, DefinitionsFolder
from admin.events.event_or_sample import sample_events
from admin.events.kept_rejections import KeptRejections
from admin.explain.wording import name_of, next_try, why
from config.references import NOT_SET, environment_with_dotenv
from config.settings import SettingsError, find_unknown_settings, port_of
from config.webhooks import Definitions, DefinitionsError, Problem, load_definitions
from platforms import PLATFORMS
from store.errors import NewerStore, StoreMissing, StoreRefused, StoreUnavailable
from worker.conductor.client import Conductor
from worker.conductor.errors import ConductorError
from worker.conductor.server import Server
from worker.conductor.workflow_definitions import SECONDS, check_workflows
from worker.discovery.probe import CheckResult, probe
from worker.notify import LONG_PAUSE, Apprise

_SHOWN = 20
"""Items that are set aside, broken tasks, and files, that are listed at most."""
Found = tuple[str, CheckResult]
"""What it is about, and what is wrong."""


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
    settings = here.settings
    try:
        definitions = load_definitions(
            settings.bridge_webhooks,
            PLATFORMS,
            may_be_empty=settings.bridge_admin_writes,
            conductor_payload=settings.bridge_conductor_payload,
        )
    except DefinitionsError as error:
        sys.exit(_on_definitions(error, settings.bridge_webhooks, without_secrets, as_json))
    results = [*_on_settings(here, definitions)]
    workflow_problems: tuple[Problem, ...] = ()
    if not offline:
        left = settings.bridge_leave_to_conductor
        about_conductor = probe(Server.of(settings), definitions)
        if all(result.usable for result in about_conductor):
            try:
                conductor = Conductor(Server.of(settings), SECONDS)
                checked = check_workflows(conductor, definitions, documents=sample_events, seconds=SECONDS, left=left)
                workflow_problems = checked.problems
                unread = checked.unread and f"not all workflow definitions could be read: {checked.unread}"
            except ConductorError as error:
                unread = f"receivers and starts aren't compared: workflows can't be listed: {error}"
            about_conductor += [CheckResult("warning", unread)] if unread else []
        results += [("CONDUCTOR_SERVER_URL", result) for result in about_conductor]
        results += _on_store(here)
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
    click.echo(plain(f"{_files_read(settings.bridge_webhooks)}: {summary}"), err=True)
    for name, result in results:
        click.echo(f"{result.level}: {name}: {plain(result)}", err=True)
    sys.exit(wrong)


def _files_read(path: Path) -> str:
    """The path of the definitions, and of a folder the names of its files: people edit one and start with another."""
    files = files_in(path)
    if files == [path]:
        return str(path)
    names = ", ".join(file.name for file in files[:_SHOWN]) or "no *.yaml file"
    more = f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else ""
    return f"{path} ({names}{more})"


def _on_definitions(error: DefinitionsError, path: Path, without_secrets: bool, as_json: bool) -> bool:
    """Prints what is wrong with the definitions; whether it's more than secrets that are left out on purpose."""
    unset = {one for one in error.problems if without_secrets and one.what.endswith(NOT_SET)}
    wrong = [one for one in error.problems if one not in unset]
    if as_json:
        echo_json(list(map(problem, (*wrong, *error.warnings))))
        return bool(wrong)
    for found in sorted((*wrong, *error.warnings)):
        click.echo(plain(found))
    errors = plain(f"{_files_read(path)}: {counted(len(wrong), 'error')}")
    if without_secrets:
        click.echo(f"{errors}; left out: {counted(len(unset), 'secret')}, not set here", err=True)
    else:
        click.echo(f"{errors}; the bridge keeps using the last good definitions of each file", err=True)
    return bool(wrong)


def _on_settings(here: Here, definitions: Definitions) -> Iterator[Found]:
    """What is wrong or risky in the settings, and with the definitions for them."""
    settings, environment = here.settings, environment_with_dotenv()
    for name, remedy in find_unknown_settings(environment):
        yield name, CheckResult("warning", "the bridge knows no such setting", remedy)
    for name in ("PORT", "ADMIN_PORT"):  # else the relay or the page wouldn't start
        yield from _tried(name, "error", lambda name=name: port_of(environment, name, 8000))  # type: ignore[misc]
    for result in on_proxies(settings, definitions):
        yield "BRIDGE_TRUSTED_PROXIES", result
    for result in on_retention(settings.bridge_retention, definitions.webhooks):
        yield "BRIDGE_RETENTION", result
    for platform in sorted({webhook.platform for webhook in definitions.webhooks}):
        if not PLATFORMS[platform].confirmed:
            what = "nobody but the bridge's authors has confirmed how it proves its deliveries"
            yield platform, CheckResult("note", what, "try it before you rely on it, and tell us")
    if (urls := settings.bridge_notify) is not None:  # else the worker wouldn't start
        yield from _tried("BRIDGE_NOTIFY", "error", lambda: Apprise(urls.get_secret_value()))
    if settings.bridge_admin_writes:
        folder = DefinitionsFolder(settings.bridge_webhooks)
        yield from _tried("BRIDGE_ADMIN_WRITES", "warning", folder.check_writable)
    if bool(settings.conductor_auth_key) != bool(settings.conductor_auth_secret):
        missing = "CONDUCTOR_AUTH_SECRET" if settings.conductor_auth_key else "CONDUCTOR_AUTH_KEY"
        what = f"{missing} isn't set, so Conductor is called without an access key"
        yield "CONDUCTOR_AUTH_KEY", CheckResult("error", what, "set both, or none")


def _tried(name: str, level: Level, attempt: Callable[[], object]) -> Iterator[Found]:
    """Why the attempt fails, if it does, in the error's words."""
    try:
        attempt()
    except (SettingsError, CantWrite) as error:
        yield _found(name, level, error)


def _found(name: str, level: Level, error: Exception) -> Found:
    what, _, remedy = str(error).removeprefix(f"{name}: ").partition("; ")
    return name, CheckResult(level, what, remedy)


_REPORTED = {
    "definitions_error:relay": "the relay found errors in the definitions, and keeps using the last good ones: {}",
    "definitions_error:worker": "the worker found errors in the definitions, and keeps using the last good ones: {}",
    "conductor": "the worker can't use Conductor: {}",
    "another_server": "Conductor knows none of the tasks that waited before, as another server would: {}",
    "index_fails": "events wait for Conductor's index: {}",
}
"""What relay and worker last reported in the store → what it means."""


def _on_store(here: Here) -> Iterator[Found]:
    """What is wrong with the database, and with what is in it."""
    try:
        store = here.store
        for advice in store.maintenance.advice():
            yield "BRIDGE_DATABASE", CheckResult("warning", advice)
        facts = store.facts.all()
        for fact, text in _REPORTED.items():
            if (said := facts.get(fact, "up")) != "up":
                yield "BRIDGE_DATABASE", CheckResult("warning", text.format(said))
        for name, (number, seen) in sorted(KeptRejections(here.bridge).acceptable().items()):
            remedy = f"webhook-bridge rejections retry --webhook {name}"
            yield "BRIDGE_DATABASE", CheckResult("warning", would_be_accepted(name, number, seen), remedy)
        now = store.now()
        for name, number in sorted(store.queries.expired_since(now - HOUR).items()):
            what = f"{number} event{'s' if number > 1 else ''} expired in the last hour: no task took them"
            remedy = f"webhook-bridge events --status expired --webhook {name}"
            yield name, CheckResult("warning", what, remedy)
        for name, pause in sorted(store.pauses.lasting().items()):
            if pause.waiting and now - pause.since >= LONG_PAUSE:
                what = f"paused for {ago(now - pause.since)}, {pause.waiting} events wait"
                yield name, CheckResult("warning", what, f"webhook-bridge resume {name}")
        aside = store.quarantine.items(limit=_SHOWN)
        for item in aside:
            yield name_of(item), CheckResult("error", why(item), next_try(item))
        if (more := sum(store.quarantine.counts().values()) - len(aside)) > 0:
            yield "set aside", CheckResult("error", f"{more} more items")
        for task in here.bridge.broken_tasks(_SHOWN):
            what = f"{task.reference_name} of {task.workflow} ({task.workflow_id}): {task.broken}"
            yield "waiting tasks", CheckResult("warning", what, "correct the workflow, and start it again")
    except StoreMissing:
        pass  # nothing has run here yet
    except (StoreUnavailable, NewerStore) as error:
        is_wrong = isinstance(error, (StoreRefused, NewerStore))
        yield _found("BRIDGE_DATABASE", "error" if is_wrong else "warning", error)
