"""What is wrong, as the store tells: with event ids, webhooks, reasons and links, and nothing of a
payload.

Each kind of trouble has a rule: what was read from the store in, at most one message out. Rules are
pure.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from config.quantities import counted
from store.delivery_records import WRONG_TOKEN
from store.processes import WorkerStore
from store.records import SetAside
from store.reports import Reports
from store.rules.transitions import FAILED
from store.sql.facts import Pause

OVER = {
    "failed": "No more events have failed for ten minutes",
    "rejecting": "No webhook rejects all of its deliveries any more",
    "conductor": "Conductor answers again",
    "another server": "Conductor knows the waiting tasks again",
    "store": "The store can be used again",
    "definitions": "The webhook definitions are valid again",
    "gone": "The missing webhooks are back, or have been gone for a day",
    "waiting": "Events are delivered on time again",
    "expired": "No more events have expired for an hour",
    "workflows": "The webhooks fit Conductor's workflows again",
    "paused": "No webhook has been paused for long any more",
    "set aside": "Nothing is set aside any more",
    "tokens": "Nobody is guessing tokens at the admin page any more",
}
"""Every kind of trouble → the title of the message that it is over."""
LASTING = 600_000
"""Milliseconds since a failure for which it is trouble."""
WRONG_TOKENS = 20
"""Wrong tokens in the last hour or two, from all addresses together. Fewer are probably mistakes.
"""
_REJECTIONS = 3
"""Rejections by a webhook that accepts nothing. Fewer may be someone just trying its URL."""
_WAITS = 60_000
"""Milliseconds that an event must wait before that is worth a message."""
_HOUR = 3_600_000
_LISTED = 5
_READ = 1000
"""Failed events, and names of what is set aside."""
_LONGEST = 200
"""Characters of a reason."""


@dataclass(frozen=True)
class Message:
    """A message that trouble has begun, or is over."""

    kind: str
    title: str
    body: str
    about: tuple[str, ...] = ()
    """What the trouble concerns; empty if it is over."""


STORE_UNAVAILABLE = Message(
    "store",
    "The store can't be used",
    "Deliveries are answered 503, so that their senders retry. Is the disk full, or the database"
    " down?",
    ("store",),
)


@dataclass(frozen=True)
class Seen:
    """What the rules judge."""

    now: int
    reports: Reports
    failed: Sequence[tuple[str, str]]
    """(id, webhook) of events that failed lately."""
    errors: Mapping[str, str | None]
    """Event id → why it failed, of the first few."""
    rejecting: Sequence[str]
    """Webhooks that reject every delivery."""
    rejections: Mapping[str, str]
    """Webhook → the reason of its last rejection, of the first few."""
    wrong_tokens: int
    gone: Sequence[str]
    """Webhooks that are gone from the definitions and weren't deleted by a person."""
    oldest_pending: int | None
    expired: Mapping[str, int]
    """Webhook → events that expired in the last hour."""
    pauses: Mapping[str, Pause]
    aside: Sequence[SetAside]
    """What is set aside, the longest first."""
    number_aside: int
    admin_url: str | None = None

    def see(self, path: str, command: str) -> str:
        """Where to read more: a path of the admin page, or a command if the page's URL isn't
        known."""
        if self.admin_url is None:
            return f"See: webhook-bridge {command}"
        return f"See {self.admin_url.rstrip('/')}{path}"


def troubles(store: WorkerStore, admin_url: str | None = None) -> Iterator[Message]:
    """What is wrong, at most one of a kind. Raises StoreUnavailable.

    Messages link to the admin page at `admin_url`; without one they name a command.
    """
    seen = _look(store, admin_url or None)
    for rule in _RULES:
        yield from rule(seen)


def _look(store: WorkerStore, admin_url: str | None) -> Seen:
    store.deliveries.check_writable()
    now = store.now()
    reports = store.reports.read()
    failed = store.queries.failed_since(now - LASTING, _READ)
    some_failed = [event_id for event_id, _ in failed[:_LISTED]]
    targets = store.queries.some_targets_of(some_failed, _LISTED)
    counts = store.queries.delivery_counts(now - _HOUR)
    rejecting = [name for name in sorted(counts) if name and _rejects_everything(counts[name])]
    last_rejections = {
        name: store.without_events.rejections(name, limit=1) for name in rejecting[:_LISTED]
    }
    aside = sorted(store.quarantine.items(), key=lambda item: (item.since, item.kind, item.id))
    return Seen(
        now=now,
        reports=reports,
        failed=failed,
        errors={target.event_id: target.error for target in targets if target.state in FAILED},
        rejecting=rejecting,
        rejections={name: found[0].reason for name, found in last_rejections.items() if found},
        wrong_tokens=counts.get("", {}).get(WRONG_TOKEN, 0),
        gone=[
            name for name in sorted(reports.webhooks_gone) if not store.changes.was_deleted(name)
        ],
        oldest_pending=store.queries.oldest_pending(),
        expired=store.queries.expired_since(now - _HOUR),
        pauses=store.pauses.lasting(),
        aside=aside,
        number_aside=max(len(aside), sum(store.quarantine.counts().values())),
        admin_url=admin_url,
    )


def _rejects_everything(outcomes: Mapping[str, int]) -> bool:
    is_good = any(
        outcomes.get(good, 0) for good in ("accepted", "duplicate", "filtered", "challenge")
    )
    return outcomes.get("rejected", 0) >= _REJECTIONS and not is_good


# --- the rules ---


def _failed(seen: Seen) -> Iterator[Message]:
    if seen.failed:
        lines = [
            f"{webhook}, event {event_id}: {_short(seen.errors.get(event_id))} "
            f"{seen.see(f'/events/{quote(event_id)}', f'events show {event_id}')}"
            for event_id, webhook in seen.failed[:_LISTED]
        ]
        why = "Conductor refuses them permanently, or doesn't show what became of them."
        body = _text(lines, len(seen.failed), f"{why} Fix the cause, then replay them.")
        webhooks = sorted({webhook for _, webhook in seen.failed})
        yield Message(
            "failed", f"{counted(len(seen.failed), 'event')} failed", body, tuple(webhooks)
        )


def _rejecting(seen: Seen) -> Iterator[Message]:
    if seen.rejecting:
        lines = []
        for name in seen.rejecting[:_LISTED]:
            reason = ""
            if name in seen.rejections:
                reason = f"the last one for: {_short(seen.rejections[name])} "
            see = seen.see(f"/rejections?webhook={quote(name)}", f"rejections --webhook {name}")
            lines.append(f"{name}: {reason}{see}")
        verb = _verb(len(seen.rejecting), "rejects", "reject")
        title = f"{_listed(seen.rejecting)} {verb} every delivery"
        yield Message("rejecting", title, _text(lines, len(seen.rejecting)), tuple(seen.rejecting))


def _conductor(seen: Seen) -> Iterator[Message]:
    if seen.reports.conductor_error is not None:
        body = (
            "It has been down for a minute. Events are still accepted, and are delivered when it is"
            " back."
        )
        yield Message("conductor", "Conductor can't be used", body, ("conductor",))


def _another_server(seen: Seen) -> Iterator[Message]:
    if seen.reports.another_server:
        advice = (
            "Is CONDUCTOR_SERVER_URL right, and Conductor's database there? The tasks are kept."
        )
        title = "Conductor knows none of the waiting tasks"
        yield Message("another server", title, f"{advice} {seen.see('/', 'check')}", ("conductor",))


def _definitions(seen: Seen) -> Iterator[Message]:
    processes = tuple(seen.reports.definitions_errors)
    if processes:
        see = seen.see("/", "check")
        body = f"Found by {_listed(processes)}. The last good ones stay in force. {see}"
        yield Message("definitions", "The webhook definitions have errors", body, processes)


def _gone(seen: Seen) -> Iterator[Message]:
    if seen.gone:
        title = (
            f"{_listed(seen.gone)} {_verb(len(seen.gone), 'is', 'are')} gone from the definitions"
        )
        body = (
            "Deliveries are answered 503 for a minute, then 404. If nobody removed them, check the"
            " files."
        )
        yield Message("gone", title, body, tuple(seen.gone))


def _waiting(seen: Seen) -> Iterator[Message]:
    if seen.oldest_pending is not None and seen.now - seen.oldest_pending >= _WAITS:
        seconds = (seen.now - seen.oldest_pending) // 1000
        see = seen.see("/events?status=pending", "events --status pending")
        body = f"The oldest has waited for {seconds} s. {see}"
        yield Message("waiting", "Events are piling up", body, ("events",))


def _expired(seen: Seen) -> Iterator[Message]:
    if seen.expired:
        names = sorted(seen.expired)
        lines = [f"{name}: {seen.expired[name]}" for name in names[:_LISTED]]
        see = seen.see("/events?status=expired", "events --status expired")
        body = _text(lines, len(names), f"No task took them within their hold. {see}")
        yield Message("expired", f"Events of {_listed(names)} expired", body, tuple(names))


def _workflows(seen: Seen) -> Iterator[Message]:
    misfits = seen.reports.misfits
    if misfits:
        lines = [_short(str(misfit)) for misfit in misfits[:_LISTED]]
        advice = f"Their events will expire or fail. {seen.see('/', 'check')}"
        body = _text(lines, len(misfits), advice)
        about = tuple(misfit.what for misfit in misfits)
        yield Message("workflows", "Webhooks don't fit Conductor's workflows", body, about)


def _paused(seen: Seen) -> Iterator[Message]:
    names = sorted(name for name, pause in seen.pauses.items() if pause.is_forgotten(seen.now))
    if names:
        lines = [f"{name}: {seen.pauses[name].what_waits}" for name in names[:_LISTED]]
        advice = "Nothing of them is decided until somebody resumes them."
        title = f"{_listed(names)} {_verb(len(names), 'has', 'have')} been paused for an hour"
        yield Message("paused", title, _text(lines, len(names), advice), tuple(names))


def _set_aside(seen: Seen) -> Iterator[Message]:
    if seen.aside:
        lines = []
        for item in seen.aside[:_LISTED]:
            name = f"{item.kind} {item.id}"
            if item.webhook:
                name += f" of {item.webhook}"
            lines.append(f"{name}: {_short(item.reason)}")
        advice = f"Everything else continues, and these are retried. {seen.see('/', 'check')}"
        names = tuple(f"{item.kind} {item.id}" for item in seen.aside)
        verb = _verb(seen.number_aside, "fails", "fail")
        title = f"{_listed(names, seen.number_aside)} {verb}"
        yield Message("set aside", title, _text(lines, seen.number_aside, advice), names)


def _tokens(seen: Seen) -> Iterator[Message]:
    if seen.wrong_tokens >= WRONG_TOKENS:
        body = (
            f"{seen.wrong_tokens} wrong ones arrived in the last hour or two. The admin process"
            " logs their addresses."
        )
        yield Message("tokens", "Somebody is guessing tokens at the admin page", body, ("tokens",))


_RULES: Collection[Callable[[Seen], Iterator[Message]]] = (
    _failed,
    _rejecting,
    _conductor,
    _another_server,
    _definitions,
    _gone,
    _waiting,
    _expired,
    _workflows,
    _paused,
    _set_aside,
    _tokens,
)


# --- wording ---


def _verb(number: int, of_one: str, of_several: str) -> str:
    if number == 1:
        return of_one
    return of_several


def _text(lines: Sequence[str], number: int, advice: str = "") -> str:
    """A line for each, how many more there are, and what to do."""
    parts = list(lines)
    if number > len(lines):
        parts.append(f"and {number - len(lines)} more")
    if advice:
        parts.append(advice)
    return "\n".join(parts)


def _listed(names: Sequence[str], number: int = 0) -> str:
    """`number`: how many there are, if not all are among the names."""
    text = ", ".join(names[:_LISTED])
    rest = max(number, len(names)) - _LISTED
    if rest > 0:
        text += f" and {rest} more"
    return text


def _short(reason: str | None) -> str:
    """The reason's first line, in at most `_LONGEST` characters."""
    first = (reason or "unknown").strip().splitlines()[0]
    return f"{first[:_LONGEST].rstrip('.')}."
