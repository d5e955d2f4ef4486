"""What people are told, and when: observations in, messages out. Pure; no message contains any of a payload or secret.

Each kind of trouble gets a message when it begins, then at most one every ten minutes while there is news, and one when
it is over.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from store.delivery_records import WRONG_TOKEN

Kind = Literal["failed", "rejecting", "conductor", "store", "definitions", "gone", "waiting", "set aside", "tokens"]
QUIET = 600_000
"""Milliseconds between two messages of a kind, unless the second announces the end."""
AWAY = 60_000
"""Milliseconds that Conductor must be away, or an event must wait, before that is worth a message."""
_TRY_AGAIN = 60_000
"""Milliseconds before a message that couldn't be sent is retried."""
_HICCUP = 5_000
"""The same for the store."""
_REJECTIONS = 3
"""Rejections by a webhook that accepts nothing. Fewer may be someone just trying its URL."""
WRONG_TOKENS = 20
"""Wrong tokens in the last hour or two, from all addresses together. Fewer are probably mistakes."""
_LISTED = 5


@dataclass(frozen=True)
class Observation:
    """How things are. Times are Unix milliseconds."""

    now: int
    failed: Mapping[str, int] = field(default_factory=dict)
    """webhook → events that failed since the last observation."""
    deliveries: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """webhook → outcome → number in the last hour or two."""
    conductor_away: bool = False
    store_unavailable: bool = False
    """If set, nothing else in the observation is known."""
    broken_definitions: tuple[str, ...] = ()
    """The processes that found errors in the definitions."""
    gone: tuple[str, ...] = ()
    """Webhooks that recently disappeared from the definitions."""
    set_aside: tuple[str, ...] = ()
    """Names of what is set aside, longest-standing first; of very many only some."""
    set_aside_number: int = 0
    """How many items are set aside."""
    oldest_pending: int | None = None
    """When the oldest event arrived that still waits for a decision or a call."""


@dataclass(frozen=True)
class Message:
    """One message."""

    kind: Kind
    title: str
    body: str
    resolved: bool = False
    """Whether it announces that the trouble is over."""


@dataclass
class _Trouble:
    """What is known about one kind. Fields are stored under their names."""

    since: int | None = None
    """When it began; None if it isn't ongoing."""
    told_at: int = -QUIET
    """When the last message about it was created, not counting one about its end."""
    told: bool = False
    """Whether people were told about it, but not yet about its end."""
    about: list[str] = field(default_factory=list)
    """What they were told it is about."""
    failed: dict[str, int] = field(default_factory=dict)
    """webhook → failed events that they weren't told about."""
    last_failed: dict[str, int] = field(default_factory=dict)
    """webhook → those in the last message, in case it can't be sent."""
    not_before: int = 0

    def keep_to(self, now: int) -> None:
        """If the clock was set back, times that were read before would last until it has caught up."""
        self.told_at = min(self.told_at, now)
        self.not_before = min(self.not_before, now + _TRY_AGAIN)
        if self.since is not None:
            self.since = min(self.since, now)


class Notices:
    """Decides what to tell people."""

    def __init__(self, remembered: str | None = None):
        """`remembered` is the previous leader's `memory`."""
        self._troubles: dict[Kind, _Trouble] = {kind: _Trouble() for kind in get_args(Kind)}
        for kind, written in _read(remembered):
            self._troubles[kind] = written

    def memory(self) -> str:
        """What the next leader must know so that nothing is said twice."""
        return json.dumps({kind: asdict(trouble) for kind, trouble in self._troubles.items()}, sort_keys=True)

    @property
    def failures_seen_to(self) -> int | None:
        """When events that had failed were last observed; None if none ever were."""
        return self._troubles["failed"].since

    def observe(self, seen: Observation) -> list[Message]:
        """The messages that are due now; each counts as sent unless `not_sent` says otherwise."""
        for trouble in self._troubles.values():
            trouble.keep_to(seen.now)
        if seen.store_unavailable:
            return [*self._state(seen, "store", ["store"], after=_HICCUP)]
        conductor = seen.conductor_away
        rejecting = [
            name
            for name, outcomes in sorted(seen.deliveries.items())
            if name
            and outcomes.get("rejected", 0) >= _REJECTIONS
            and not any(outcomes.get(good, 0) for good in ("accepted", "duplicate", "filtered", "challenge"))
        ]
        wrong_tokens = seen.deliveries.get("", {}).get(WRONG_TOKEN, 0)
        waits = seen.oldest_pending is not None and seen.now - seen.oldest_pending >= AWAY
        return [
            *self._failed(seen),
            *self._state(seen, "store", []),
            *self._state(seen, "conductor", ["conductor"] if conductor else [], after=AWAY),
            *self._state(seen, "definitions", list(seen.broken_definitions)),
            *self._state(seen, "gone", list(seen.gone)),
            *self._state(seen, "rejecting", rejecting),
            # Failures that succeed within a few tries aren't worth a message.
            *self._state(seen, "set aside", list(seen.set_aside), after=AWAY),
            *self._state(seen, "tokens", ["tokens"] if wrong_tokens >= WRONG_TOKENS else []),
            # While Conductor is away all events wait for it, and people know.
            *(() if conductor else self._state(seen, "waiting", ["events"] if waits else [])),
        ]

    def not_sent(self, message: Message, now: int) -> None:
        """The message couldn't be sent: it is due again in a minute, if there is still a reason for it."""
        trouble = self._troubles[message.kind]
        trouble.not_before = now + _TRY_AGAIN
        trouble.told = message.resolved
        if not message.resolved:
            trouble.told_at, trouble.about = -QUIET, []
            _add(trouble.failed, trouble.last_failed)
            trouble.last_failed = {}

    def _state(self, seen: Observation, kind: Kind, about: list[str], after: int = 0) -> Iterator[Message]:
        trouble = self._troubles[kind]
        if seen.now < trouble.not_before:
            return
        if not about:
            trouble.since, trouble.about = None, []
            if trouble.told:
                trouble.told = False
                yield _resolved(kind)
            return
        if trouble.since is None:
            trouble.since = seen.now
        is_news = not trouble.told or bool(set(about) - set(trouble.about))
        if is_news and seen.now - trouble.since >= after and seen.now - trouble.told_at >= QUIET:
            trouble.told, trouble.told_at, trouble.about = True, seen.now, about
            yield _message(kind, about, seen)

    def _failed(self, seen: Observation) -> Iterator[Message]:
        trouble = self._troubles["failed"]
        if seen.failed:
            _add(trouble.failed, seen.failed)
            trouble.since = seen.now
        if seen.now < trouble.not_before:
            return
        if trouble.failed and seen.now - trouble.told_at >= QUIET:
            trouble.told, trouble.told_at = True, seen.now
            trouble.last_failed, trouble.failed = trouble.failed, {}
            yield _failed_message(trouble.last_failed)
        elif trouble.told and not trouble.failed and seen.now - (trouble.since or 0) >= QUIET:
            trouble.told = False
            yield _resolved("failed")


def _add(numbers: dict[str, int], more: Mapping[str, int]) -> None:
    for name, number in more.items():
        numbers[name] = numbers.get(name, 0) + number


RESOLVED: dict[Kind, str] = {
    "failed": "No more events have failed for ten minutes",
    "rejecting": "No webhook rejects all of its deliveries any more",
    "conductor": "Conductor answers again",
    "store": "The store can be used again",
    "definitions": "The webhook definitions are valid again",
    "gone": "The missing webhooks are back, or have been gone for a day",
    "waiting": "Events are delivered on time again",
    "set aside": "Nothing is set aside any more",
    "tokens": "Nobody is guessing tokens at the admin page any more",
}
"""The title of the message that the trouble is over."""


def _resolved(kind: Kind) -> Message:
    return Message(kind, RESOLVED[kind], RESOLVED[kind] + ".", resolved=True)


def _message(kind: Kind, about: list[str], seen: Observation) -> Message:
    match kind:
        case "rejecting":
            title = f"{_listed(about)} reject{'s' if len(about) == 1 else ''} every delivery"
            body = "For the reasons see: webhook-bridge rejections, or the admin page."
        case "conductor":
            title = "Conductor can't be used"
            body = "It has been down for a minute. Events are still accepted, and are delivered when it is back."
        case "store":
            title = "The store can't be used"
            body = "Deliveries are answered 503, so that their senders retry. Is the disk full, or the database down?"
        case "definitions":
            title = "The webhook definitions have errors"
            body = (
                f"Found by {_listed(about)}. The last good ones stay in force. To see the errors: webhook-bridge check."
            )
        case "gone":
            title = f"{_listed(about)} {'is' if len(about) == 1 else 'are'} gone from the definitions"
            body = "Deliveries are answered 503 for a minute, then 404. If nobody removed them, check the files."
        case "set aside":
            number = max(seen.set_aside_number, len(about))
            title = f"{_listed(about, number)} {'fails' if number == 1 else 'fail'}"
            body = "Everything else continues, and these are retried. For the reasons see: webhook-bridge check."
        case "tokens":
            title = "Somebody is guessing tokens at the admin page"
            wrong = seen.deliveries[""][WRONG_TOKEN]
            body = f"{wrong} wrong ones arrived in the last hour or two. The admin process logs their addresses."
        case _:
            waited = (seen.now - (seen.oldest_pending or seen.now)) // 1000
            title = "Events are piling up"
            body = f"The oldest has waited for {waited} s. To list them: webhook-bridge events --status pending."
    return Message(kind, title, body)


def _failed_message(failed: Mapping[str, int]) -> Message:
    number = sum(failed.values())
    each = [f"{name} ({count})" for name, count in sorted(failed.items())]
    body = (
        f"Webhooks: {_listed(each)}. Conductor refuses them permanently. Fix the cause, then replay them. "
        "To list them: webhook-bridge events --status failed."
    )
    return Message("failed", f"{number} event{'s' if number > 1 else ''} failed", body)


def _listed(names: list[str], number: int | None = None) -> str:
    """`number`: how many there are, if not all are among the names."""
    rest = (len(names) if number is None else number) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {rest} more" if rest > 0 else "")


def _read(remembered: str | None) -> Iterator[tuple[Kind, _Trouble]]:
    """What can be read of a stored memory, which another version may have written."""
    try:
        written: Any = json.loads(remembered or "{}")
        for kind in get_args(Kind):
            if kind in written:
                yield kind, _Trouble(**written[kind])
    except (ValueError, TypeError):
        return
