"""What is wrong now, as the store tells: with event ids, webhooks, reasons and links, and nothing of a payload."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote

from store.delivery_records import WRONG_TOKEN
from store.sql.facts import gone_webhooks
from store.sql.store import Store
from worker.notify.messages import QUIET, Message

WRONG_TOKENS = 20
"""Wrong tokens in the last hour or two, from all addresses together. Fewer are probably mistakes."""
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

STORE_UNAVAILABLE = Message(
    "store",
    "The store can't be used",
    "Deliveries are answered 503, so that their senders retry. Is the disk full, or the database down?",
    ("store",),
)


class Troubles:
    """Reads them from the store."""

    def __init__(self, store: Store, admin_url: str | None = None):
        """Messages link to the admin page at `admin_url`; without one they name a command."""
        self._store = store
        self._admin_url = admin_url

    def now(self) -> list[Message]:
        """What is wrong, at most one of a kind. Raises StoreUnavailable."""
        store, now = self._store, self._store.now()
        store.deliveries.check_writable()
        facts = store.facts.all()
        counts = store.queries.delivery_counts(now - _HOUR)
        return [
            *self._failed(now),
            *self._rejecting(counts),
            *self._conductor(facts),
            *self._definitions(facts),
            *self._gone(sorted(gone_webhooks(facts, now))),
            *self._waiting(now),
            *self._set_aside(),
            *self._tokens(counts.get("", {}).get(WRONG_TOKEN, 0)),
        ]

    def _failed(self, now: int) -> Iterator[Message]:
        found = self._store.queries.failed_since(now - QUIET, _READ)
        if not found:
            return
        errors = {
            target.event_id: target.error
            for target in self._store.queries.some_targets_of([event_id for event_id, _ in found[:_LISTED]], _LISTED)
            if target.state == "failed"
        }
        lines = [
            f"{webhook}, event {event_id}: {_short(errors.get(event_id))} "
            f"{self._see(f'/events/{quote(event_id)}', f'events show {event_id}')}"
            for event_id, webhook in found[:_LISTED]
        ]
        title = f"{len(found)} event{'s' if len(found) > 1 else ''} failed"
        advice = "Conductor refuses them permanently. Fix the cause, then replay them."
        yield Message("failed", title, _text(lines, len(found), advice), tuple(sorted({name for _, name in found})))

    def _rejecting(self, counts: Mapping[str, Mapping[str, int]]) -> Iterator[Message]:
        names = [
            name
            for name, outcomes in sorted(counts.items())
            if name
            and outcomes.get("rejected", 0) >= _REJECTIONS
            and not any(outcomes.get(good, 0) for good in ("accepted", "duplicate", "filtered", "challenge"))
        ]
        if names:
            title = f"{_listed(names)} reject{'s' if len(names) == 1 else ''} every delivery"
            yield Message(
                "rejecting", title, _text([self._rejected(name) for name in names[:_LISTED]], len(names)), tuple(names)
            )

    def _rejected(self, webhook: str) -> str:
        last = self._store.queries.rejections(webhook, limit=1)
        reason = f"the last one for: {_short(last[0].reason)} " if last else ""
        see = self._see(f"/rejections?webhook={quote(webhook)}", f"rejections --webhook {webhook}")
        return f"{webhook}: {reason}{see}"

    def _conductor(self, facts: Mapping[str, str]) -> Iterator[Message]:
        if facts.get("conductor", "up") != "up":
            body = "It has been down for a minute. Events are still accepted, and are delivered when it is back."
            yield Message("conductor", "Conductor can't be used", body, ("conductor",))

    def _definitions(self, facts: Mapping[str, str]) -> Iterator[Message]:
        processes = tuple(process for process in ("relay", "worker") if facts.get(f"definitions_error:{process}"))
        if processes:
            body = f"Found by {_listed(processes)}. The last good ones stay in force. {self._see('/', 'check')}"
            yield Message("definitions", "The webhook definitions have errors", body, processes)

    def _gone(self, names: Sequence[str]) -> Iterator[Message]:
        if names:
            title = f"{_listed(names)} {'is' if len(names) == 1 else 'are'} gone from the definitions"
            body = "Deliveries are answered 503 for a minute, then 404. If nobody removed them, check the files."
            yield Message("gone", title, body, tuple(names))

    def _waiting(self, now: int) -> Iterator[Message]:
        oldest = self._store.queries.oldest_pending()
        if oldest is not None and now - oldest >= _WAITS:
            see = self._see("/events?status=pending", "events --status pending")
            body = f"The oldest has waited for {(now - oldest) // 1000} s. {see}"
            yield Message("waiting", "Events are piling up", body, ("events",))

    def _set_aside(self) -> Iterator[Message]:
        items = sorted(self._store.quarantine.items(), key=lambda item: (item.since, item.kind, item.id))
        if items:
            names = [f"{item.kind} {item.id}" for item in items]
            number = max(len(items), sum(self._store.quarantine.counts().values()))
            lines = [
                f"{name}{f' of {item.webhook}' if item.webhook else ''}: {_short(item.reason)}"
                for name, item in zip(names, items[:_LISTED], strict=False)
            ]
            title = f"{_listed(names, number)} {'fails' if number == 1 else 'fail'}"
            advice = f"Everything else continues, and these are retried. {self._see('/', 'check')}"
            yield Message("set aside", title, _text(lines, number, advice), tuple(names))

    def _tokens(self, wrong: int) -> Iterator[Message]:
        if wrong >= WRONG_TOKENS:
            body = f"{wrong} wrong ones arrived in the last hour or two. The admin process logs their addresses."
            yield Message("tokens", "Somebody is guessing tokens at the admin page", body, ("tokens",))

    def _see(self, path: str, command: str) -> str:
        return f"See {self._admin_url.rstrip('/')}{path}" if self._admin_url else f"See: webhook-bridge {command}"


def _text(lines: Sequence[str], number: int, advice: str = "") -> str:
    """A line for each, how many more there are, and what to do."""
    more = [f"and {number - len(lines)} more"] if number > len(lines) else []
    return "\n".join([*lines, *more, *([advice] if advice else [])])


def _listed(names: Sequence[str], number: int | None = None) -> str:
    """`number`: how many there are, if not all are among the names."""
    rest = (len(names) if number is None else number) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {rest} more" if rest > 0 else "")


def _short(reason: str | None) -> str:
    """The reason's first line, in at most `_LONGEST` characters."""
    first = (reason or "unknown").strip().splitlines()[0]
    return f"{first[:_LONGEST].rstrip('.')}."
