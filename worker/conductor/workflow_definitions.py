"""Finds receivers, starts and messages that Conductor's workflow definitions don't fit, with file
and line."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from config.problems import dotted
from config.target_keys import Message, Start
from config.webhooks import Definitions, Problem, Webhook
from config.yaml_lines import Where
from criteria.matches import BadMatches, Criteria, matches_of
from criteria.missing import why_nothing
from criteria.suggestions import nearest
from worker.conductor.addressed import listed
from worker.conductor.client import Conductor
from worker.conductor.errors import ConductorError, NotFound, Unreachable
from worker.conductor.messages import PULL_TYPE
from worker.conductor.search import TASK_TYPE, fits_path
from worker.misfits import no_workflow

SECONDS = 5.0
"""Within which the definitions are read: those that are left over then aren't checked."""
_SUGGESTED = 10
"""Names for which a similar one is looked for, which takes some time for each."""
_SHOWN = 10
"""Versions or paths that one problem lists."""
_MADE_AS_IT_RUNS = ("DYNAMIC", "FORK_JOIN_DYNAMIC")
"""Types of tasks that Conductor turns into others as the workflow runs: what they are no definition
says."""

_NO_PATH = "no path of its API can hold that name"
_RENAME = "rename the workflow"

Documents = Callable[[Webhook], Sequence[Mapping[str, Any]]]
"""Webhook → events such as its platform sends; none if nothing is known about them."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What the check has found."""

    problems: tuple[Problem, ...]
    """All are warnings; `fails_check` are those by which every event will fail."""
    unread: str = ""
    """Why some workflow definitions couldn't be checked; empty if all were."""


def check_workflows(
    conductor: Conductor,
    definitions: Definitions,
    versions: Mapping[str, Sequence[int]] | None = None,
    documents: Documents = lambda webhook: (),
    seconds: float = SECONDS,
    left: Collection[str] = (),
) -> Checked:
    """Compares the webhooks with the workflows that Conductor has.

    The workflows that are `left` to Conductor's own webhooks aren't compared. `versions` are those
    of `Conductor.workflow_versions`, if the caller has asked already. Each version of a receiver is
    read once, however many webhooks name it. Raises ConductorError if the workflows can't be
    listed.
    """
    until = time.monotonic() + seconds
    versions = conductor.workflow_versions() if versions is None else versions
    check = _Check(conductor, definitions, versions, until, left)
    check.read()
    found = [
        problem for webhook in definitions.webhooks for problem in check.webhook(webhook, documents)
    ]
    return Checked(tuple(found), check.unread)


@dataclass(frozen=True, slots=True)
class _Misfit:
    what: str
    remedy: str
    fails_check: bool = False


class _Check:
    def __init__(
        self,
        conductor: Conductor,
        definitions: Definitions,
        versions: Mapping[str, Sequence[int]],
        until: float,
        left: Collection[str],
    ):
        self.unread = ""
        self._conductor = conductor
        self._definitions = definitions
        self._versions = versions
        self._until = until
        self._left = left
        self._read: dict[tuple[str, int], WaitTasks] = {}
        self._inside: dict[str, list[WaitTask]] = {}
        """Sub-workflow that is defined inside a receiver → its tasks."""
        self._similar: dict[str, str | None] = {}
        self._queues_on = True

    # --- reading ---

    def read(self) -> None:
        """Reads the definitions of receivers and of workflows that get messages."""
        if any(webhook.messages for webhook in self._definitions.webhooks):
            self._look_for_queues()
        for workflow, version in sorted(self._wanted()):
            rest = self._until - time.monotonic()
            if rest <= 0:
                self.unread = "Conductor is slow"
                return
            try:
                definition = self._conductor.within(rest).workflow_definition(workflow, version)
            except NotFound:
                continue  # it has gone since the list was read
            except ConductorError as error:
                self.unread = f"{workflow}: {error}"
                if isinstance(error, Unreachable):
                    return
                continue
            tasks = self._read[workflow, version] = find_wait_tasks(definition)
            self._inside |= tasks.inside

    def _wanted(self) -> set[tuple[str, int]]:
        """The workflows that are read, each with its version."""
        wanted = set[tuple[str, int]]()
        for webhook in self._definitions.webhooks:
            looked_at = list(webhook.receivers.items())
            looked_at += [(one.workflow, _only(one.version)) for one in webhook.messages]
            for workflow, versions in looked_at:
                if workflow not in self._left and fits_path(workflow):
                    there = self._looked_at(workflow, versions)
                    wanted.update((workflow, version) for version in there)
        return wanted

    def _look_for_queues(self) -> None:
        rest = max(0.1, self._until - time.monotonic())
        try:
            self._queues_on = self._conductor.within(rest).messages.are_on()
        except ConductorError as error:
            self.unread = f"can't tell whether Conductor has message queues: {error}"

    def _looked_at(self, workflow: str, versions: frozenset[int] | None) -> list[int]:
        """The versions of a receiver that there are; of any, the latest."""
        there = self._versions.get(workflow, ())
        return list(there[-1:]) if versions is None else sorted(versions.intersection(there))

    # --- problems ---

    def webhook(self, webhook: Webhook, documents: Documents) -> Iterator[Problem]:
        """What doesn't fit in one webhook."""
        for where, workflow, misfits in self._entries(webhook, documents):
            if workflow in self._left:
                continue
            file, line = self._definitions.places.get((webhook.name, where), ("", 1))
            for one in misfits:
                place = f"webhook {webhook.name}: {dotted(where)}"
                yield Problem(file, line, place, one.what, one.remedy, True, one.fails_check)

    def _entries(
        self, webhook: Webhook, documents: Documents
    ) -> Iterator[tuple[Where, str, Iterator[_Misfit]]]:
        """Where each entry stands, its workflow, and what doesn't fit."""
        for workflow, versions in webhook.receivers.items():
            yield (
                ("receivers", workflow),
                workflow,
                self._receiver(webhook, workflow, versions, documents),
            )
        for index, start in enumerate(webhook.starts):
            yield ("starts", index), start.workflow, self._start(start)
        for index, message in enumerate(webhook.messages):
            yield ("messages", index), message.workflow, self._message(message)

    def _receiver(
        self, webhook: Webhook, workflow: str, versions: frozenset[int] | None, documents: Documents
    ) -> Iterator[_Misfit]:
        # Its URLs complete tasks of any type, whatever their matches.
        any_task = webhook.callback is not None
        if workflow in self._inside and workflow not in self._versions:
            if not any_task:
                yield from _misfits_of(workflow, self._inside[workflow], webhook, documents)
            return
        yield from self._missing(workflow, versions)
        if not fits_path(workflow):
            what = (
                f"the definition of {workflow} can't be read, so its tasks aren't checked:"
                f" {_NO_PATH}"
            )
            yield _Misfit(what, _RENAME)
        if any_task:
            return
        for version, tasks in self._tasks(workflow, versions):
            if not tasks.own and not tasks.may_have_more:
                what = (
                    f"version {version} of {workflow} has no WAIT_FOR_WEBHOOK task, so no event"
                    " resumes it"
                )
                yield _Misfit(what, _without_tasks(tasks))
            yield from _misfits_of(workflow, tasks.own, webhook, documents)

    def _start(self, start: Start) -> Iterator[_Misfit]:
        yield from self._missing(start.workflow, _only(start.version), fails_check=True)
        if not fits_path(start.workflow):
            what = (
                f"a start of {start.workflow} with a lost answer is only looked up in the index:"
                f" {_NO_PATH}"
            )
            yield _Misfit(what, _RENAME)

    def _message(self, message: Message) -> Iterator[_Misfit]:
        if not fits_path(message.workflow):
            what = (
                f"Conductor can't be asked which {message.workflow} runs, so every message fails:"
                f" {_NO_PATH}"
            )
            yield _Misfit(what, _RENAME, fails_check=True)
        if not self._queues_on:
            what = "Conductor's message queues are off, so every message waits"
            yield _Misfit(
                what, "set conductor.workflow-message-queue.enabled=true there", fails_check=True
            )
        versions = _only(message.version)
        yield from self._missing(message.workflow, versions, fails_check=message.else_ == "start")
        for version, tasks in self._tasks(message.workflow, versions):
            if not tasks.reads_messages and not tasks.may_have_more:
                what = (
                    f"version {version} of {message.workflow} has no {PULL_TYPE} task, so nothing"
                    " reads its messages"
                )
                yield _Misfit(what, "add one, or make it one of `starts`")

    def _tasks(
        self, workflow: str, versions: frozenset[int] | None
    ) -> Iterator[tuple[int, WaitTasks]]:
        """The versions that were read, and their tasks."""
        for version in self._looked_at(workflow, versions):
            if (workflow, version) in self._read:
                yield version, self._read[workflow, version]

    def _missing(
        self, workflow: str, versions: frozenset[int] | None, fails_check: bool = False
    ) -> Iterator[_Misfit]:
        """What Conductor lacks."""
        there = self._versions.get(workflow)
        if there is None:
            similar = self._nearest(workflow)
            remedy = (
                f"did you mean {similar}?" if similar else "register it there, or correct the name"
            )
            yield _Misfit(no_workflow(workflow), remedy, fails_check)
            return
        missing = sorted((versions or frozenset()).difference(there))
        if there and missing:
            known = (
                f"it has {listed(there[-_SHOWN:])}"
                if len(there) <= _SHOWN
                else f"the latest is {there[-1]}"
            )
            yield _Misfit(
                f"Conductor has no version {listed(missing[:_SHOWN])} of {workflow}",
                known,
                fails_check,
            )

    def _nearest(self, workflow: str) -> str | None:
        if workflow not in self._similar and len(self._similar) < _SUGGESTED:
            self._similar[workflow] = nearest(workflow, self._versions)
        return self._similar.get(workflow)


def _misfits_of(
    workflow: str, tasks: Sequence[WaitTask], webhook: Webhook, documents: Documents
) -> Iterator[_Misfit]:
    """What doesn't fit in the matches of a receiver's tasks."""
    known = documents(webhook) if tasks else ()
    for task in tasks:
        place = f"task {task.reference_name} of {workflow}"
        try:
            criteria = _criteria(task.matches)
        except BadMatches as error:
            yield _Misfit(
                f"the matches of {place} can't be used: {error}", "correct them in the workflow"
            )
            continue
        for path in criteria.paths:
            if (nothing := why_nothing(path)) is not None:
                yield _Misfit(f"{place} needs {path}: {nothing[0]}", nothing[1])
        missing = _never_found(criteria, known)
        if missing:
            what = (
                f"{place} needs {', '.join(missing[:_SHOWN])}, which no sample event of"
                f" {webhook.platform} has"
            )
            yield _Misfit(what, "compare the path with a real event")


def _only(version: int | None) -> frozenset[int] | None:
    """The versions that an entry with this one names; None for any."""
    return None if version is None else frozenset((version,))


def _without_tasks(tasks: WaitTasks) -> str:
    """What to do about a receiver without a task that waits."""
    if waiting := [name for name, inner in tasks.inside.items() if inner]:
        return f"its sub-workflow {waiting[0]} has one: make that the receiver"
    if tasks.sub_workflows:
        named = ", ".join(sorted(tasks.sub_workflows)[:_SHOWN])
        return f"add one, or, if a sub-workflow waits ({named}), make that the receiver"
    return "add one, or remove the receiver"


def _criteria(matches: Any) -> Criteria:
    """Those that are known before the workflow runs. Raises BadMatches."""
    if _is_computed(matches):
        return Criteria.parse({})
    if isinstance(matches, dict):
        matches = {path: expected for path, expected in matches.items() if not _is_computed(path)}
    return Criteria.parse(matches)


def _never_found(criteria: Criteria, documents: Sequence[Mapping[str, Any]]) -> list[str]:
    """The paths that are missing in each of the documents: in the one that lacks fewest of them.

    What a real delivery has in `_webhook`, its headers for example, no sample says.
    """
    paths = [
        (path, select)
        for path, select in zip(criteria.paths, criteria.selects, strict=True)
        if "_webhook" not in path
    ]
    missing = ([path for path, select in paths if not select(document)] for document in documents)
    return min(missing, key=len, default=[])


def _is_computed(value: Any) -> bool:
    """Whether Conductor puts in what this is as the workflow runs."""
    return isinstance(value, str) and "${" in value


# --- the tasks of a definition ---


@dataclass(frozen=True, slots=True)
class WaitTask:
    """One WAIT_FOR_WEBHOOK task."""

    reference_name: str
    matches: Any


@dataclass(slots=True)
class WaitTasks:
    """What a definition says of the tasks that wait."""

    own: list[WaitTask] = field(default_factory=list)
    inside: dict[str, list[WaitTask]] = field(default_factory=dict)
    """Sub-workflow that is defined inside → its tasks. In Conductor they are that workflow's, not
    the outer one's."""
    sub_workflows: set[str] = field(default_factory=set)
    """Sub-workflows by name: their tasks are in definitions of their own."""
    reads_messages: bool = False
    """Whether it has a task that reads its message queue."""
    may_have_more: bool = False
    """Whether some tasks are only made as the workflow runs."""


def find_wait_tasks(definition: dict[str, Any]) -> WaitTasks:
    """The tasks at any depth: in loops, forks, switches, and sub-workflows that are defined inside.

    What isn't as Conductor writes it is left out: nothing is raised.
    """
    found = WaitTasks()
    rest = [(found.own, definition.get("tasks"))]
    while rest:
        tasks, items = rest.pop()
        for item in _objects(items):
            _add_task(found, tasks, item)
            rest += [(tasks, nested) for nested in _nested(item)]
            inner = _defined_inside(item)
            if inner is not None:
                inner_tasks = found.inside.setdefault(str(inner.get("name")), [])
                rest.append((inner_tasks, inner.get("tasks")))
    return found


def _add_task(found: WaitTasks, tasks: list[WaitTask], item: dict[str, Any]) -> None:
    """Adds what a task says; `tasks`: those of its workflow."""
    kind = item.get("type")
    if kind == TASK_TYPE:
        matches = matches_of(_object(item.get("inputParameters")))
        tasks.append(WaitTask(str(item.get("taskReferenceName")), matches))
    if kind == PULL_TYPE and tasks is found.own:
        found.reads_messages = True
    if kind in _MADE_AS_IT_RUNS:
        found.may_have_more = True
    name = _sub_workflow(item).get("name")
    if name and _defined_inside(item) is None:
        found.sub_workflows.add(str(name))


def _sub_workflow(task: dict[str, Any]) -> dict[str, Any]:
    return _object(task.get("subWorkflowParam")) or {}


def _defined_inside(task: dict[str, Any]) -> dict[str, Any] | None:
    """The definition of a sub-workflow that a task contains, if it does."""
    return _object(_sub_workflow(task).get("workflowDefinition"))


def _nested(task: dict[str, Any]) -> Iterator[Any]:
    """The lists of tasks in a task."""
    cases, forks = _object(task.get("decisionCases")) or {}, task.get("forkTasks")
    yield from (task.get("loopOver"), task.get("defaultCase"), *cases.values())
    if isinstance(forks, list):
        yield from forks


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """The objects in a list in JSON; none if it isn't a list."""
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))


def _object(value: Any) -> dict[str, Any] | None:
    """An object in JSON; None if the value is something else."""
    if isinstance(value, dict):
        return value
    return None
