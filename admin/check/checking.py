"""What `webhook-bridge check` finds in definitions and settings, and in the Conductor and database
that they name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import Field

from admin.api.objects import Problem as ShownProblem
from admin.api.objects import problem, setting_problem
from admin.api_object import ApiObject
from admin.bridge import Bridge
from admin.check.advice import find_secrets_in_git, on_proxies, on_retention
from admin.check.health import Issue, Level, find_issues, state_of
from admin.definitions.entry_text import files_in
from admin.definitions.writer import CantWrite, DefinitionsFolder
from admin.events.event_or_sample import sample_events
from config.quantities import counted
from config.references import NOT_SET, environment_with_dotenv
from config.settings import Settings, SettingsError, find_unknown_settings, port_of
from config.webhooks import Definitions, DefinitionsError, Problem, load_definitions
from platforms import PLATFORMS
from store.errors import NewerStore, StoreMissing, StoreRefused, StoreUnavailable
from worker.conductor.client import Conductor
from worker.conductor.errors import ConductorError
from worker.conductor.server import Server
from worker.conductor.workflow_definitions import SECONDS, check_workflows
from worker.discovery.probe import CheckResult, probe
from worker.notify import Apprise

_SHOWN = 20
"""Files that are listed at most."""
Found = tuple[str, CheckResult]
"""The setting, webhook or item that it is about, and what is wrong."""


class Checked(ApiObject):
    """What a check has found."""

    failed: bool = Field(description="whether there is an error")
    problems: list[ShownProblem]
    lines: list[str] = Field(
        description="problems of the definitions, as FILE:LINE: where: what is wrong; remedy"
    )
    notes: list[str] = Field(description="what was checked, and what is wrong elsewhere")


def check_everything(
    settings: Settings,
    open_bridge: Callable[[], Bridge],
    offline: bool = False,
    without_secrets: bool = False,
) -> Checked:
    """Checks the definitions and settings, and unless `offline` Conductor and the store.

    `without_secrets`: whether variables that aren't set are accepted.
    """
    try:
        definitions = load_definitions(
            settings.bridge_webhooks,
            PLATFORMS,
            may_be_empty=settings.bridge_admin_writes,
            conductor_payload=settings.bridge_conductor_payload,
        )
    except DefinitionsError as error:
        return _broken(error, settings.bridge_webhooks, without_secrets)
    results = [*_on_settings(settings, definitions)]
    misfits: tuple[Problem, ...] = ()
    if not offline:
        about_conductor, misfits = _on_conductor(settings, definitions)
        results += [("CONDUCTOR_SERVER_URL", result) for result in about_conductor]
        results += _on_store(open_bridge)
    warnings = (*definitions.warnings, *misfits, *find_secrets_in_git(definitions))
    failing = sum(one.fails_check for one in warnings)
    summary = (
        f"{counted(len(definitions.webhooks), 'webhook')}, {failing or 'no'}"
        f" error{'' if failing == 1 else 's'}"
    )
    risky = [setting_problem(name, result) for name, result in results if result.level != "note"]
    return Checked(
        failed=bool(failing) or any(result.level == "error" for _, result in results),
        problems=[*map(problem, warnings), *risky],
        lines=list(map(str, warnings)),
        notes=[
            f"{_files_read(settings.bridge_webhooks)}: {summary}",
            *(f"{result.level}: {name}: {result}" for name, result in results),
        ],
    )


def _broken(error: DefinitionsError, path: Path, without_secrets: bool) -> Checked:
    """What is wrong with the definitions, besides secrets that are left out on purpose."""
    unset = {one for one in error.problems if without_secrets and one.what.endswith(NOT_SET)}
    wrong = [one for one in error.problems if one not in unset]
    found = (*wrong, *error.warnings)
    kept = "the bridge keeps using the last good definitions of each file"
    if without_secrets:
        kept = f"left out: {counted(len(unset), 'secret')}, not set here"
    return Checked(
        failed=bool(wrong),
        problems=list(map(problem, found)),
        lines=list(map(str, sorted(found))),
        notes=[f"{_files_read(path)}: {counted(len(wrong), 'error')}; {kept}"],
    )


def _on_conductor(
    settings: Settings, definitions: Definitions
) -> tuple[list[CheckResult], tuple[Problem, ...]]:
    """What is wrong with Conductor, and which webhooks don't fit the workflows that it has."""
    found = probe(Server.of(settings), definitions)
    if not all(result.usable for result in found):
        return found, ()
    try:
        checked = check_workflows(
            Conductor(Server.of(settings), SECONDS),
            definitions,
            documents=sample_events,
            seconds=SECONDS,
            left=settings.bridge_leave_to_conductor,
        )
    except ConductorError as error:
        unlisted = f"receivers and starts aren't compared: workflows can't be listed: {error}"
        return [*found, CheckResult("warning", unlisted)], ()
    if checked.unread:
        unread = f"not all workflow definitions could be read: {checked.unread}"
        found.append(CheckResult("warning", unread))
    return found, checked.problems


def _files_read(path: Path) -> str:
    """The path of the definitions, and of a folder the names of its files: people edit one and
    start with another."""
    files = files_in(path)
    if files == [path]:
        return str(path)
    names = ", ".join(file.name for file in files[:_SHOWN]) or "no *.yaml file"
    more = f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else ""
    return f"{path} ({names}{more})"


def _on_settings(settings: Settings, definitions: Definitions) -> Iterator[Found]:
    """What is wrong or risky in the settings, and with the definitions for them."""
    environment = environment_with_dotenv()
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


def _on_store(open_bridge: Callable[[], Bridge]) -> Iterator[Found]:
    """What is wrong with the database, and with what is in it."""
    try:
        bridge = open_bridge()
        for advice in bridge.store.maintenance.advice():
            yield "BRIDGE_DATABASE", CheckResult("warning", advice)
        for issue in find_issues(state_of(bridge)):
            if issue.in_check is not None:
                yield from _of_issue(issue, issue.in_check)
    except StoreMissing:
        pass  # nothing has run here yet
    except (StoreUnavailable, NewerStore) as error:
        is_wrong = isinstance(error, (StoreRefused, NewerStore))
        yield _found("BRIDGE_DATABASE", "error" if is_wrong else "warning", error)


def _of_issue(issue: Issue, level: Level) -> Iterator[Found]:
    """The issue line by line: whoever reads one of them may not see the others."""
    for detail in issue.details:
        what = detail.what
        if not (what and detail.about):
            what = ": ".join(filter(None, (issue.text.rstrip("."), what)))
        yield detail.about or "BRIDGE_DATABASE", CheckResult(level, what, detail.remedy)
