"""Tells people what is wrong: a job of its own, so a failure stops nothing else.

Each kind of trouble gets one message when it begins, and one when it is over. While it lasts,
another is sent only if it concerns something new, and at most every ten minutes.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib import import_module
from typing import Any
from urllib.parse import quote

import structlog

from config.quantities import counted
from config.settings import SettingsError
from store.delivery_records import WRONG_TOKEN
from store.errors import StoreUnavailable
from store.reports import Reports
from store.rules.transitions import FAILED
from store.sql.store import Store

log = structlog.get_logger()

EVERY = 5.0
"""Seconds between two looks."""
QUIET = 600_000
"""Milliseconds between two messages that a kind has begun."""
_TRY_AGAIN = 60_000
"""Milliseconds before messages that couldn't be sent are retried."""
_AFTER = {"conductor": 60_000, "store": 5_000, "set aside": 60_000}
"""Milliseconds that trouble must last before it is worth a message, of those that may be over in a
moment."""
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

Send = Callable[[str, str, bool], list[bool]]
"""Title, body, and whether trouble is over → for each URL whether the message was sent. Never
raises."""

# --- what is wrong, as the store tells: with event ids, webhooks, reasons and links, and nothing of
#   a payload ---

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
    "Deliveries are answered 503, so that their senders retry. Is the disk full, or the database down?",
    ("store",),
)


def troubles(store: Store, admin_url: str | None = None) -> Iterator[Message]:
    """What is wrong, at most one of a kind. Raises StoreUnavailable.

    Messages link to the admin page at `admin_url`; without one they name a command.
    """

    def see(path: str, command: str) -> str:
        return (
            f"See {admin_url.rstrip('/')}{path}" if admin_url else f"See: webhook-bridge {command}"
        )

    store.deliveries.check_writable()
    now, reports = store.now(), store.reports.read()
    if failed := store.queries.failed_since(now - LASTING, _READ):
        shown = failed[:_LISTED]
        targets = store.queries.some_targets_of([event_id for event_id, _ in shown], _LISTED)
        errors = {target.event_id: target.error for target in targets if target.state in FAILED}
        lines = [
            f"{webhook}, event {event_id}: {_short(errors.get(event_id))} "
            f"{see(f'/events/{quote(event_id)}', f'events show {event_id}')}"
            for event_id, webhook in shown
        ]
        why = "Conductor refuses them permanently, or doesn't show what became of them."
        body = _text(lines, len(failed), f"{why} Fix the cause, then replay them.")
        title = f"{counted(len(failed), 'event')} failed"
        yield Message("failed", title, body, tuple(sorted({webhook for _, webhook in failed})))
    counts = store.queries.delivery_counts(now - _HOUR)
    rejecting = tuple(
        name for name, outcomes in sorted(counts.items()) if name and _rejects_everything(outcomes)
    )
    if rejecting:
        lines = []
        for name in rejecting[:_LISTED]:
            last = store.without_events.rejections(name, limit=1)
            reason = f"the last one for: {_short(last[0].reason)} " if last else ""
            lines.append(
                f"{name}: {reason}{see(f'/rejections?webhook={quote(name)}', f'rejections --webhook {name}')}"
            )
        title = f"{_listed(rejecting)} reject{'s' if len(rejecting) == 1 else ''} every delivery"
        yield Message("rejecting", title, _text(lines, len(rejecting)), rejecting)
    if reports.conductor_error:
        body = "It has been down for a minute. Events are still accepted, and are delivered when it is back."
        yield Message("conductor", "Conductor can't be used", body, ("conductor",))
    if reports.another_server:
        body = (
            "Is CONDUCTOR_SERVER_URL right, and Conductor's database there? The tasks are kept. "
            + see("/", "check")
        )
        yield Message(
            "another server", "Conductor knows none of the waiting tasks", body, ("conductor",)
        )
    if broken := tuple(reports.definitions_errors):
        body = f"Found by {_listed(broken)}. The last good ones stay in force. {see('/', 'check')}"
        yield Message("definitions", "The webhook definitions have errors", body, broken)
    if gone := tuple(
        name for name in sorted(reports.webhooks_gone) if not store.changes.was_deleted(name)
    ):
        body = "Deliveries are answered 503 for a minute, then 404. If nobody removed them, check the files."
        title = f"{_listed(gone)} {'is' if len(gone) == 1 else 'are'} gone from the definitions"
        yield Message("gone", title, body, gone)
    oldest = store.queries.oldest_pending()
    if oldest is not None and now - oldest >= _WAITS:
        body = f"The oldest has waited for {(now - oldest) // 1000} s. "
        body += see("/events?status=pending", "events --status pending")
        yield Message("waiting", "Events are piling up", body, ("events",))
    if expired := store.queries.expired_since(now - _HOUR):
        lines = [f"{name}: {number}" for name, number in sorted(expired.items())[:_LISTED]]
        advice = f"No task took them within their hold. {see('/events?status=expired', 'events --status expired')}"
        title = f"Events of {_listed(sorted(expired))} expired"
        yield Message("expired", title, _text(lines, len(expired), advice), tuple(sorted(expired)))
    if misfits := reports.misfits:
        lines = [_short(str(one)) for one in misfits[:_LISTED]]
        body = _text(lines, len(misfits), f"Their events will expire or fail. {see('/', 'check')}")
        yield Message(
            "workflows",
            "Webhooks don't fit Conductor's workflows",
            body,
            tuple(one.what for one in misfits),
        )
    pauses = store.pauses.lasting()
    if forgotten := sorted(name for name, pause in pauses.items() if pause.is_forgotten(now)):
        lines = [f"{name}: {pauses[name].what_waits}" for name in forgotten[:_LISTED]]
        body = _text(
            lines, len(forgotten), "Nothing of them is decided until somebody resumes them."
        )
        title = f"{_listed(forgotten)} {'has' if len(forgotten) == 1 else 'have'} been paused for an hour"
        yield Message("paused", title, body, tuple(forgotten))
    if aside := sorted(store.quarantine.items(), key=lambda item: (item.since, item.kind, item.id)):
        names = tuple(f"{item.kind} {item.id}" for item in aside)
        number = max(len(aside), sum(store.quarantine.counts().values()))
        lines = [
            f"{name}{f' of {item.webhook}' if item.webhook else ''}: {_short(item.reason)}"
            for name, item in zip(names, aside[:_LISTED], strict=False)
        ]
        body = _text(
            lines, number, f"Everything else continues, and these are retried. {see('/', 'check')}"
        )
        yield Message(
            "set aside",
            f"{_listed(names, number)} {'fails' if number == 1 else 'fail'}",
            body,
            names,
        )
    if (wrong := counts.get("", {}).get(WRONG_TOKEN, 0)) >= WRONG_TOKENS:
        body = f"{wrong} wrong ones arrived in the last hour or two. The admin process logs their addresses."
        yield Message("tokens", "Somebody is guessing tokens at the admin page", body, ("tokens",))


def _rejects_everything(outcomes: Mapping[str, int]) -> bool:
    is_good = any(
        outcomes.get(good, 0) for good in ("accepted", "duplicate", "filtered", "challenge")
    )
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


# --- what to tell people, and when ---


@dataclass
class _Known:
    """What is known about one kind. Fields are stored under their names; times are Unix
    milliseconds."""

    since: int | None = None
    """When it began; None if it isn't ongoing."""
    told: list[str] = field(default_factory=list)
    """What people were told that it concerns; empty once they were told that it is over."""
    quiet_until: int = 0


class Notices:
    """Decides what to tell people: pure."""

    def __init__(self, remembered: str | None = None):
        """`remembered` is the previous leader's `memory`; another version may have written it."""
        self._known: dict[str, _Known] = {}
        self._retry_at = 0
        with suppress(ValueError, TypeError, AttributeError):
            self._known = {
                kind: _Known(**written) for kind, written in json.loads(remembered or "{}").items()
            }

    def memory(self) -> str:
        """What the next leader must know so that nothing is said twice."""
        return json.dumps(
            {kind: asdict(known) for kind, known in self._known.items()}, sort_keys=True
        )

    def due(
        self, current: Collection[Message], now: int, unknown: Collection[str] = ()
    ) -> list[Message]:
        """The messages to send now. `current`: what is wrong, at most one of a kind. `unknown`:
        kinds of which nothing is known now. Each message stays due until it is `sent`."""
        by_kind = {message.kind: message for message in current}
        # If the clock was set back, later times would last until it has caught up.
        self._retry_at = min(self._retry_at, now + _TRY_AGAIN)
        found = [
            message
            for kind in OVER
            if kind not in unknown
            for message in self._due(kind, by_kind.get(kind), now)
        ]
        return found if now >= self._retry_at else []

    def _due(self, kind: str, trouble: Message | None, now: int) -> Sequence[Message]:
        known = self._known.setdefault(kind, _Known())
        if trouble is None:
            known.since = None
            return [Message(kind, OVER[kind], OVER[kind] + ".")] if known.told else []
        known.quiet_until = min(known.quiet_until, now + QUIET)
        known.since = now if known.since is None else min(known.since, now)
        is_due = now - known.since >= _AFTER.get(kind, 0) and now >= known.quiet_until
        return [trouble] if is_due and not {*trouble.about} <= {*known.told} else []

    def sent(self, message: Message, now: int, has_reached_anyone: bool) -> None:
        """The message was sent; if it reached nobody, it is due again in a minute."""
        if not has_reached_anyone:
            self._retry_at = now + _TRY_AGAIN
            return
        known = self._known[message.kind]
        known.told = list(message.about)
        if message.about:
            known.quiet_until = now + QUIET


class Notifier:
    """Looks for trouble, and sends, while its worker is leader."""

    def __init__(
        self, store: Store, send: Send, is_leader: Callable[[], bool], admin_url: str | None = None
    ):
        self._store = store
        self._send = send
        self._is_leader = is_leader
        self._admin_url = admin_url
        self._notices: Notices | None = None
        self._memory = ""

    def step(self) -> None:
        """Looks once, and sends what is due."""
        is_leader = self._is_leader()
        if not is_leader and self._notices is None:
            return
        try:
            found = list(troubles(self._store, self._admin_url))
            if not is_leader:
                self._notices = None
                return
            if self._notices is None:
                self._notices = Notices(self._store.reports.read().notices)
        except StoreUnavailable:
            if (
                self._notices is not None
            ):  # while the store is away there is no leader: then the last leader sends
                self._tell(self._notices, [STORE_UNAVAILABLE], OVER.keys() - {"store"})
            return
        # While Conductor is away all events wait for it, and people know.
        self._tell(
            self._notices,
            found,
            {"waiting"} if any(one.kind == "conductor" for one in found) else (),
        )
        if (memory := self._notices.memory()) != self._memory:
            with suppress(StoreUnavailable):
                self._store.reports.write(Reports(notices=memory))
                self._memory = memory

    def _tell(
        self, notices: Notices, current: Collection[Message], unknown: Collection[str]
    ) -> None:
        now = self._store.now()
        for message in notices.due(current, now, unknown):
            sent = self._send(message.title, message.body, not message.about)
            # Not sent again if some URLs were reached: they would get it every minute.
            notices.sent(message, now, any(sent))
            about = {"kind": message.kind, "title": message.title}
            if failed := [number for number, ok in enumerate(sent, 1) if not ok]:
                log.warning(
                    "a notification could not be sent to every URL", failed_urls=failed, **about
                )
            else:
                log.info("notification sent", **about)


# --- sending ---


class Apprise:
    """Sends to the services in a list of Apprise URLs, separated by spaces."""

    def __init__(self, urls: str):
        """Raises SettingsError if the extra isn't installed, or Apprise doesn't know a URL."""
        try:
            self._apprise: Any = import_module("apprise")
        except ImportError:
            raise SettingsError(
                "BRIDGE_NOTIFY: Apprise isn't installed; pip install '.[notify]' in a checkout, or 'WHEEL[notify]'"
            ) from None
        logging.getLogger("apprise").setLevel(
            logging.CRITICAL + 1
        )  # it would log URLs with their secrets
        self._services = self._apprise.Apprise()
        for number, url in enumerate(urls.split() or [""], 1):
            if not self._services.add(url):
                raise SettingsError(
                    f"BRIDGE_NOTIFY: Apprise doesn't know URL number {number}; write one such as slack://TOKEN, "
                    "mailto://USER:PASSWORD@HOST or json://HOST/PATH (https://github.com/caronc/apprise/wiki)"
                )

    def send(self, title: str, body: str, resolved: bool) -> list[bool]:
        """Sends the message; returns for each URL whether that succeeded. Never raises."""
        kind = self._apprise.NotifyType.SUCCESS if resolved else self._apprise.NotifyType.WARNING
        sent: list[bool] = []
        for service in self._services:
            try:
                sent.append(
                    bool(
                        service.notify(
                            title=f"Webhook bridge: {title}", body=body, notify_type=kind
                        )
                    )
                )
            except Exception:  # raised by one of a hundred services
                sent.append(False)
        return sent
