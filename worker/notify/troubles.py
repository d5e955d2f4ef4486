"""What is wrong now, as the store tells: with event ids, webhooks, reasons and links, and nothing of a payload."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from store.delivery_records import WRONG_TOKEN
from store.sql.facts import gone_webhooks
from store.sql.store import Store

LASTING = 600_000
"""Milliseconds since a failure for which it is trouble."""
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
    "Deliveries are answered 503, so that their senders retry. Is the disk full, or the database down?",
    ("store",),
)


def troubles(store: Store, admin_url: str | None = None) -> Iterator[Message]:
    """What is wrong, at most one of a kind. Raises StoreUnavailable.

    Messages link to the admin page at `admin_url`; without one they name a command.
    """

    def see(path: str, command: str) -> str:
        return f"See {admin_url.rstrip('/')}{path}" if admin_url else f"See: webhook-bridge {command}"

    store.deliveries.check_writable()
    now, facts = store.now(), store.facts.all()
    if failed := store.queries.failed_since(now - LASTING, _READ):
        shown = failed[:_LISTED]
        targets = store.queries.some_targets_of([event_id for event_id, _ in shown], _LISTED)
        errors = {target.event_id: target.error for target in targets if target.state == "failed"}
        lines = [
            f"{webhook}, event {event_id}: {_short(errors.get(event_id))} "
            f"{see(f'/events/{quote(event_id)}', f'events show {event_id}')}"
            for event_id, webhook in shown
        ]
        body = _text(lines, len(failed), "Conductor refuses them permanently. Fix the cause, then replay them.")
        title = f"{len(failed)} event{'s' if len(failed) > 1 else ''} failed"
        yield Message("failed", title, body, tuple(sorted({webhook for _, webhook in failed})))
    counts = store.queries.delivery_counts(now - _HOUR)
    rejecting = tuple(name for name, outcomes in sorted(counts.items()) if name and _rejects_everything(outcomes))
    if rejecting:
        lines = []
        for name in rejecting[:_LISTED]:
            last = store.without_events.rejections(name, limit=1)
            reason = f"the last one for: {_short(last[0].reason)} " if last else ""
            lines.append(f"{name}: {reason}{see(f'/rejections?webhook={quote(name)}', f'rejections --webhook {name}')}")
        title = f"{_listed(rejecting)} reject{'s' if len(rejecting) == 1 else ''} every delivery"
        yield Message("rejecting", title, _text(lines, len(rejecting)), rejecting)
    if facts.get("conductor", "up") != "up":
        body = "It has been down for a minute. Events are still accepted, and are delivered when it is back."
        yield Message("conductor", "Conductor can't be used", body, ("conductor",))
    if broken := tuple(process for process in ("relay", "worker") if facts.get(f"definitions_error:{process}")):
        body = f"Found by {_listed(broken)}. The last good ones stay in force. {see('/', 'check')}"
        yield Message("definitions", "The webhook definitions have errors", body, broken)
    if gone := tuple(sorted(gone_webhooks(facts, now))):
        body = "Deliveries are answered 503 for a minute, then 404. If nobody removed them, check the files."
        title = f"{_listed(gone)} {'is' if len(gone) == 1 else 'are'} gone from the definitions"
        yield Message("gone", title, body, gone)
    oldest = store.queries.oldest_pending()
    if oldest is not None and now - oldest >= _WAITS:
        body = f"The oldest has waited for {(now - oldest) // 1000} s. "
        body += see("/events?status=pending", "events --status pending")
        yield Message("waiting", "Events are piling up", body, ("events",))
    if aside := sorted(store.quarantine.items(), key=lambda item: (item.since, item.kind, item.id)):
        names = tuple(f"{item.kind} {item.id}" for item in aside)
        number = max(len(aside), sum(store.quarantine.counts().values()))
        lines = [
            f"{name}{f' of {item.webhook}' if item.webhook else ''}: {_short(item.reason)}"
            for name, item in zip(names, aside[:_LISTED], strict=False)
        ]
        body = _text(lines, number, f"Everything else continues, and these are retried. {see('/', 'check')}")
        yield Message("set aside", f"{_listed(names, number)} {'fails' if number == 1 else 'fail'}", body, names)
    if (wrong := counts.get("", {}).get(WRONG_TOKEN, 0)) >= WRONG_TOKENS:
        body = f"{wrong} wrong ones arrived in the last hour or two. The admin process logs their addresses."
        yield Message("tokens", "Somebody is guessing tokens at the admin page", body, ("tokens",))


def _rejects_everything(outcomes: Mapping[str, int]) -> bool:
    is_good = any(outcomes.get(good, 0) for good in ("accepted", "duplicate", "filtered", "challenge"))
    return outcomes.get("rejected", 0) >= _REJECTIONS and not is_good


def _text(lines: Sequence[str], number: int, advice: str = "") -> str:
    """A line for each, how many more there are, and what to do."""
    more = f"and {number - len(lines)} more" if number > len(lines) else ""
    return "\n".join(filter(None, (*lines, more, advice)))


def _listed(names: Sequence[str], number: int = 0) -> str:
    """`number`: how many there are, if not all are among the names."""
    rest = max(number, len(names)) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {rest} more" if rest > 0 else "")


def _short(reason: str | None) -> str:
    """The reason's first line, in at most `_LONGEST` characters."""
    first = (reason or "unknown").strip().splitlines()[0]
    return f"{first[:_LONGEST].rstrip('.')}."
