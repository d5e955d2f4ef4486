"""What is wrong right now, worst first. Pure: reports and counts in, issues out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from admin.bridge import DAY, Bridge
from admin.events.kept_rejections import KeptRejections
from admin.wording.targets import name_of, next_try, why
from config.quantities import ago, counted
from config.webhooks import Problem, Webhook
from store.delivery_records import WRONG_TOKEN
from store.records import SetAside, SetAsideKind, Task
from store.reports import Reports
from store.sql.facts import Pause
from store.sql.queries import UNRESOLVED_COUNTED
from worker.troubles import WRONG_TOKENS

Level = Literal["error", "warning", "note"]
_PILING_UP = 60_000
"""Milliseconds that an event may wait for a decision or a call before that is an issue."""
BROKEN_READ = 50
"""Tasks that can't be matched, of which there may be very many: so many are read."""
_SHOWN = 20
"""Items that are set aside, and broken tasks, that are listed at most."""
_NAMED = 10
"""Workflows that are named."""
HOUR = 3_600_000
"""Milliseconds."""


@dataclass(frozen=True)
class Detail:
    """A line of an issue."""

    what: str = ""
    about: str = ""
    """The webhook or item that it is about; "" if the issue itself says that."""
    remedy: str = ""
    webhook: str | None = None
    """The webhook that it is about, or the first of several."""

    @property
    def text(self) -> str:
        """All of it."""
        what = ": ".join(filter(None, (self.about, self.what)))
        return "; ".join(filter(None, (what, self.remedy)))


@dataclass(frozen=True)
class Issue:
    """Something that an operator should know, and where to look."""

    level: Level
    text: str
    details: tuple[Detail, ...] = ()
    page: str | None = None
    """The page that shows more."""
    query: Mapping[str, str] | None = None
    in_check: Level | None = None
    """As what `webhook-bridge check` reports it; None if it doesn't."""


@dataclass(frozen=True)
class State:
    """What issues are derived from."""

    reports: Reports
    problems: Sequence[Problem]
    warnings: Sequence[Problem]
    webhooks: Mapping[str, Webhook]
    verified_at: Mapping[str, int | None]
    counts: Mapping[str, int]
    """Events by status."""
    oldest_pending: int | None
    unresolved: int
    """Failed events that are neither acknowledged nor resolved."""
    failed: Sequence[tuple[str, int]]
    """Webhook and arrival of each unresolved failed event of the last day, up to
    `UNRESOLVED_COUNTED`."""
    broken: Sequence[Task]
    """Waiting tasks that can't be matched, up to `BROKEN_READ`."""
    waiting: Mapping[str, int]
    """workflow → number of waiting tasks."""
    deliveries: Mapping[str, Mapping[str, int]]
    """webhook → outcome → number in the last day."""
    set_aside: Sequence[SetAside]
    """Some of what is set aside."""
    set_aside_counts: Mapping[SetAsideKind, int]
    deciding_until: int | None
    """When the leader's term ends; None if there is no leader."""
    now: int
    expired: Mapping[str, int] = field(default_factory=dict)
    """webhook → events that expired in the last hour, of the newest 1,000 that did."""
    pauses: Mapping[str, Pause] = field(default_factory=dict)
    deleted: Collection[str] = ()
    """Webhooks that somebody has deleted."""
    acceptable: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """webhook → how many of so many rejected deliveries would be accepted now."""


def find_issues(state: State) -> list[Issue]:
    """The issues, the most harmful first, notes last; empty when all is well."""
    issues = (
        *_lost(state),
        *_conductor(state),
        *_definitions(state),
        *_waiting(state),
        *_workflows(state),
        *_tasks(state),
        *_webhooks(state),
    )
    return sorted(issues, key=lambda issue: issue.level == "note")


def _lines(texts: Iterable[str]) -> tuple[Detail, ...]:
    return tuple(map(Detail, texts))


def _conductor(state: State) -> Iterator[Issue]:
    reports = state.reports
    if state.deciding_until is None or state.deciding_until < state.now:
        yield Issue(
            "error", "No worker is running: events are accepted and kept, but not delivered."
        )
    elif reports.conductor is None:
        yield Issue(
            "error", "The worker has never reached Conductor: is CONDUCTOR_SERVER_URL right?"
        )
    elif error := reports.conductor_error:
        text = (
            "Conductor can't be used. Events are accepted and kept, and delivered once it is back."
        )
        yield Issue("error", text, _lines([error]), in_check="warning")
    elif tasks := reports.another_server:
        text = (
            "Conductor knows none of the tasks that waited before: it is another server, or its"
            " database is empty. They are kept. If it has lost them for good, run `webhook-bridge"
            " tasks forget`."
        )
        yield Issue("error", text, _lines([tasks]), "tasks", in_check="warning")
    elif lacks := reports.missing_calls:
        text = "Conductor lacks calls that the bridge needs, or doesn't allow them."
        yield Issue("error", text, _lines([lacks]))
    elif fails := reports.index_fails:
        text = "Conductor's index can't be searched: tasks that it alone shows are found late."
        yield Issue("error", text, _lines([fails]), in_check="warning")
    elif (discovery := reports.discovery or "").startswith("workflows"):
        text = (
            "Conductor's tasks can't be searched, so running workflows are read at intervals. Is"
            " indexing off?"
        )
        yield Issue("warning", text, _lines([discovery]))


def _definitions(state: State) -> Iterator[Issue]:
    if state.problems:
        text = (
            "The definitions have errors. Relay and worker keep using the last good ones of each"
            " file."
        )
        yield Issue("error", text, _lines(map(str, state.problems)))
    else:
        yield from _reported_definitions(state)
    gone = {
        name: at
        for name, at in state.reports.webhooks_gone.items()
        if name not in state.webhooks and name not in state.deleted
    }
    if gone:
        text = "Webhooks are gone from the definitions. Deliveries to them are answered with 404."
        lines = (f"{name}: {ago(state.now - at)} ago" for name, at in sorted(gone.items()))
        yield Issue("warning", text, _lines(lines))
    if not state.webhooks and not state.problems:
        yield Issue(
            "note", "No webhook is defined yet, so nothing can arrive: create the first one below."
        )
    risks = [str(problem) for problem in state.warnings if problem.webhook]
    if risks:
        yield Issue("note", "Some definitions are risky.", _lines(risks))


def _reported_definitions(state: State) -> Iterator[Issue]:
    """What relay and worker have found, whose environments may be different ones."""
    for process, error in state.reports.definitions_errors.items():
        text = (
            f"The {process} found errors in the definitions, and keeps using the last good ones of"
            " each file."
        )
        yield Issue("error", text, _lines(error.splitlines()), in_check="warning")


def _lost(state: State) -> Iterator[Issue]:
    """Events that had no effect."""
    if state.failed:
        text = (
            f"{_number(state.failed, UNRESOLVED_COUNTED, 'event')} failed in the last day: fix the"
            " cause, then replay."
        )
        yield Issue("error", text, page="failures")
    if state.expired:
        text = f"{_expired(sum(state.expired.values()))}."
        details = tuple(
            Detail(
                _expired(number),
                name,
                f"webhook-bridge events --status expired --webhook {name}",
                name,
            )
            for name, number in sorted(state.expired.items())
        )
        query = {"status": "expired"}
        yield Issue("warning", text, details, "events", query, in_check="warning")


def _expired(number: int) -> str:
    return f"{counted(number, 'event')} expired in the last hour: no task took them"


def _waiting(state: State) -> Iterator[Issue]:
    """Events that wait for longer than they should."""
    waited = 0 if state.oldest_pending is None else state.now - state.oldest_pending
    if waited > _PILING_UP:
        text = f"Events are piling up: the oldest has waited {ago(waited)} to be delivered."
        yield Issue("error", text, page="events", query={"status": "pending"})
    for name, pause in sorted(state.pauses.items()):
        text = f"{name} has been paused for {ago(state.now - pause.since)}: {pause.what_waits}."
        resume = (Detail(about=name, remedy=f"webhook-bridge resume {name}", webhook=name),)
        if pause.is_forgotten(state.now):
            yield Issue("warning", text, resume, in_check="warning")
        else:
            yield Issue("note", text, resume)
    if state.set_aside_counts:
        yield _set_aside(state)


def _set_aside(state: State) -> Issue:
    counts = state.set_aside_counts
    parts = ", ".join(counted(count, kind) for kind, count in sorted(counts.items()))
    number = sum(counts.values())
    keep = "keeps" if number == 1 else "keep"
    text = f"{parts} {keep} failing and will be retried; everything else continues."
    details = [
        Detail(why(item), name_of(item), next_try(item), item.webhook) for item in state.set_aside
    ]
    if number > len(details):
        details.append(Detail(f"{number - len(details)} more items", "set aside"))
    return Issue("warning", text, tuple(details), in_check="error")


def _workflows(state: State) -> Iterator[Issue]:
    misfits = state.reports.misfits
    if misfits:
        details = tuple(Detail(str(one), webhook=next(iter(one.webhooks), None)) for one in misfits)
        yield Issue("warning", "Webhooks don't fit the workflows that Conductor has.", details)


def _tasks(state: State) -> Iterator[Issue]:
    if state.broken:
        text = f"{_number(state.broken, BROKEN_READ, 'waiting task')} can't be matched."
        details = tuple(
            Detail(
                f"{task.reference_name} of {task.workflow} ({task.workflow_id}): {task.broken}",
                remedy="correct the workflow, and start it again",
            )
            for task in state.broken[:_SHOWN]
        )
        yield Issue("warning", text, details, "tasks", in_check="warning")
    served = {workflow for webhook in state.webhooks.values() for workflow in webhook.receivers}
    unreached = sorted(
        (name, number) for name, number in state.waiting.items() if name not in served
    )
    if unreached:
        text = "Tasks are waiting in workflows that no webhook here has as a receiver."
        lines = [f"{name}: {counted(number, 'task')}" for name, number in unreached[:_NAMED]]
        if len(unreached) > _NAMED:
            lines.append(f"and those of {len(unreached) - _NAMED} more")
        yield Issue("note", text, _lines(lines), "tasks")


def _number(found: Sequence[object], read: int, what: str) -> str:
    """``3 events``; if as many were found as are read at most, ``At least 200 events``."""
    return f"{'At least ' if len(found) == read else ''}{counted(len(found), what)}"


def _webhooks(state: State) -> Iterator[Issue]:
    for name in state.webhooks:
        outcomes = state.deliveries.get(name, {})
        rejected = outcomes.get("rejected")
        if rejected and not outcomes.get("accepted") and not outcomes.get("filtered"):
            text = f"{name} rejected all of its deliveries in the last day ({rejected})."
            if state.verified_at.get(name) is None:
                text += " It is not verified yet."
            yield Issue("warning", text, page="rejections", query={"webhook": name})
    for name, (number, seen) in sorted(state.acceptable.items()):
        last = "The last rejected delivery"
        if seen > 1:
            last = f"{number} of the last {seen} rejected deliveries"
        retry = Detail(remedy=f"webhook-bridge rejections retry --webhook {name}", webhook=name)
        yield Issue(
            "warning",
            f"{last} of {name} would be accepted now.",
            (retry,),
            "ask_retry",
            {"webhook": name},
            in_check="warning",
        )
    wrong = state.deliveries.get("", {}).get(WRONG_TOKEN, 0)
    if wrong >= WRONG_TOKENS:
        text = (
            f"Somebody gave this page a wrong token {wrong} times in the last day. The log says"
            " from where."
        )
        yield Issue("warning", text)


def state_of(bridge: Bridge) -> State:
    """What `find_issues` needs."""
    store, now = bridge.store, bridge.store.now()
    reports = store.reports.read()
    decider = store.leadership.leader()
    return State(
        reports=reports,
        problems=bridge.definitions.errors,
        warnings=bridge.definitions.warnings,
        webhooks=bridge.definitions.by_name,
        verified_at=bridge.verified_at(),
        counts=store.queries.event_counts(),
        oldest_pending=store.queries.oldest_pending(),
        unresolved=store.queries.unresolved(),
        failed=store.queries.unresolved_since(now - DAY),
        broken=bridge.broken_tasks(BROKEN_READ),
        waiting=store.queries.waiting_by_workflow(),
        deliveries=store.queries.delivery_counts(now - DAY),
        set_aside=store.quarantine.items(limit=_SHOWN),
        set_aside_counts=store.quarantine.counts(),
        deciding_until=decider[1] if decider else None,
        now=now,
        expired=store.queries.expired_since(now - HOUR),
        pauses=store.pauses.lasting(),
        deleted=[name for name in reports.webhooks_gone if store.changes.was_deleted(name)],
        acceptable=KeptRejections(bridge).acceptable(),
    )
