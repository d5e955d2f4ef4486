"""Up to when every task that had come to wait is known, and when to look for tasks that may have
been missed.

A *scan* polls the queue until it is empty. It misses a task only if something else took it off the
queue, or if it never was there. Whatever may have done that owes a *look*: a search of the index, or
a read of the running workflows. A scan is complete once the looks that are owed have been made.

Three things wait for it, and `WAIT` at most: a task's turn, a start `unless: taken`, and the label
`expired`. Nothing here makes a call. Times are Unix milliseconds by the store's clock.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, NamedTuple

from worker.retries import wait_before

LAG = 2_000
"""Milliseconds after which the index shows a task that was taken off the queue."""
WAIT = 30_000
"""Milliseconds for which anything waits for tasks that may be missing, at most."""
AFTER_OUTAGE = 120_000
"""Milliseconds for which starts wait for the reconciliation after an outage, at most."""
ALONE_FOR = 24 * 3_600_000
"""Milliseconds for which a task that the index alone has shown keeps the index needed."""
LOOK_GAP = 1.0
"""Minimum seconds between two looks on behalf of events without a taker."""
_ALONE_EVERY = 3_600_000
"""Milliseconds after which it is saved again that the index is needed."""
_SAVED_EVERY = 5_000
"""Milliseconds after which a scan is saved, if nothing else is: there may be fifty a second."""
_PATIENCE, _LONGEST_PATIENCE = 2.0, 60.0


@dataclass(frozen=True, slots=True)
class Known:
    """What one leader leaves to the next, as one row."""

    scan_began: int = 0
    """When the last complete scan began."""
    look_owed_since: int | None = None
    """Only a look that begins later shows what may have been missed; None if nothing was."""
    index_needed_until: int = 0
    """Until then somebody else may take tasks off the queue at any time: each scan needs a look."""
    away_since: int | None = None
    """Since when Conductor has been away; None if it answers."""
    back_at: int | None = None
    """When its last outage ended."""
    reconciled_at: int = 0
    """When the last complete reconciliation began."""

    @classmethod
    def read(cls, text: str) -> Known:
        """From `text()`, perhaps of another version. What can't be read has its default."""
        try:
            found = dict(json.loads(text))
        except (TypeError, ValueError):
            return cls()
        times = {each.name: found.get(each.name) for each in fields(cls)}
        return cls(**{name: time for name, time in times.items() if type(time) is int})

    def text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))


class Outage(NamedTuple):
    """A time in which Conductor was away, so that no task could come to wait."""

    since: int
    until: int


class _Pause(NamedTuple):
    """A time without looks."""

    begins: int
    ends: int

    def left(self, now: int) -> int:
        """Milliseconds that are left of it; 0 if the clock was set back before it."""
        return max(0, self.ends - now) if self.begins <= now else 0


class Watermark:
    """Belongs to one term, and to the loop's thread. Methods that change what is known raise what
    `save` raises; in this term it counts all the same."""

    def __init__(
        self,
        known: Known,
        save: Callable[[Known], None],
        call_timeout: float = 10.0,
        look_gap: float = LOOK_GAP,
    ) -> None:
        """`call_timeout`: seconds after which a call has ended; an outage lasts longer."""
        self.known = self._saved = known
        self._save = save
        self._shortest = round(call_timeout * 1000)
        self._look_gap = look_gap
        self._unread: dict[str, int] = {}
        """Workflow → up to when its tasks are known though some can't be read."""
        self._look_at = known.look_owed_since
        """When the next owed look is to begin: debts that follow don't put it off."""
        self._wanted_at: int | None = None
        self._pause = self._wanted_pause = _Pause(0, 0)
        self._failures = 0

    # --- what is known ---

    def scanned(self, began: int) -> None:
        """A scan that began then is complete."""
        self._change(scan_began=began)

    def unread(self, shown: Mapping[str, int]) -> None:
        """Tasks were shown that can't be read right now: workflow, empty for any, → when one first
        was. To be called before the scan that has shown them counts: the one before hadn't."""
        before = self.known.scan_began
        self._unread = {
            workflow: self._unread.get(workflow, min(at, before)) for workflow, at in shown.items()
        }

    def known_until(self, receivers: Collection[str], now: int) -> int:
        """Up to when each task of these workflows that had come to wait is known, or was waited for
        long enough. Stands still while Conductor is away."""
        if self.known.away_since is not None:
            now = min(now, self.known.away_since)
        began = self.known.scan_began
        known = [began if began <= now else 0]  # or else the clock was set back
        known += [self._unread[one] for one in (*receivers, "") if one in self._unread]
        return max(now - WAIT, min(known))

    def may_start(self, arrived: int, receivers: Collection[str], now: int) -> bool:
        """Whether an event that arrived then starts a workflow if no task has taken it."""
        known = self.known
        back_at = known.back_at or 0
        is_reconciled = known.reconciled_at >= back_at or abs(now - back_at) >= AFTER_OUTAGE
        is_certain = known.away_since is None and is_reconciled
        return is_certain and self.known_until(receivers, now) >= arrived

    # --- what may have been missed ---

    def owe_look(self, since: int) -> None:
        """Something may have taken a task unseen by then: a lost poll, or a leader that died. Only a
        look that begins `LAG` later shows it."""
        self._change(look_owed_since=self._owed(since))

    def _owed(self, since: int) -> int:
        if self._look_at is None:
            self._look_at = since + LAG
        return max(since + LAG, self.known.look_owed_since or 0)

    def found_alone(self, now: int) -> None:
        """The index has shown a task that no poll returned: somebody else polls, too."""
        if now + ALONE_FOR - self.known.index_needed_until >= _ALONE_EVERY:
            self._change(index_needed_until=now + ALONE_FOR)

    def needs_index(self, now: int) -> bool:
        """Whether each scan needs a look, as the index alone has shown tasks."""
        return now < self.known.index_needed_until

    def needs_look(self, now: int) -> bool:
        """Whether a scan that ended now isn't complete without a look."""
        return self.known.look_owed_since is not None or self.needs_index(now)

    # --- outages and reconciliation ---

    def conductor_is_away(self, now: int) -> None:
        """Conductor doesn't answer."""
        if self.known.away_since is None:
            self._change(away_since=now)

    def conductor_is_back(self, now: int) -> Outage | None:
        """Conductor answers. Returns the outage that is over; None if there was none, or a shorter
        one than a call may take.

        It is saved with the next scan: if the caller dies before it has acted on the outage, the
        next leader learns of it too.
        """
        away = self.known.away_since
        if away is None:
            return None
        self.known = replace(self.known, away_since=None, look_owed_since=self._owed(now))
        if now - away < self._shortest:
            return None
        self.known = replace(self.known, back_at=now)
        # It went away between the last answer and the end of the first call without one.
        answered = max(self.known.scan_began, away - self._shortest)
        return Outage(min(away, answered), now)

    def reconciled(self, began: int, complete: bool) -> None:
        """A reconciliation that began then is over."""
        if complete:
            self._change(reconciled_at=began)

    @property
    def reconciled_at(self) -> int:
        """When the last complete reconciliation began; 0 before the first."""
        return self.known.reconciled_at

    # --- when to look ---

    def want_look(self, now: int) -> None:
        """An event has found no taker, but the index may know one a moment later."""
        self._wanted_at = now

    def may_look(self, now: int) -> bool:
        """Whether an event without a taker may cause a look now."""
        return not self._wanted_pause.left(now)

    def look_due_in(self, now: int) -> float:
        """Seconds until a look should begin; infinite if none should."""
        due = [0] if self.needs_index(now) else []
        if self._look_at is not None:
            due.append(min(self._look_at - now, LAG))  # the clock may have been set back
        if self._wanted_at is not None:
            due.append(self._wanted_pause.left(now))
        return max(min(due), self._pause.left(now), 0) / 1000 if due else float("inf")

    def looked(self, began: int, rest: float = 0.0) -> None:
        """A look that began then was complete. There is none for `rest` seconds from its beginning."""
        self._failures = 0
        self._pause = _Pause(began, began + round(rest * 1000))
        self._wanted_pause = _Pause(began, began + round(max(self._look_gap, rest) * 1000))
        if self._wanted_at is not None and began >= self._wanted_at:
            self._wanted_at = None
        owed = self.known.look_owed_since
        if owed is None or began >= owed or owed > began + LAG:
            self._look_at = None
            self._change(look_owed_since=None)
        else:
            self._look_at = owed

    def look_failed(self, now: int) -> None:
        """A look got no complete answer: it is repeated after a while."""
        self._failures += 1
        pause = _Pause(now, now + round(wait_before(self._failures) * 1000))
        self._pause = self._wanted_pause = pause

    def patience(self) -> float:
        """Seconds that a look waits for each answer: events that don't need it wait too."""
        return min(_LONGEST_PATIENCE, _PATIENCE * 2.0 ** min(self._failures, 5))

    def _change(self, **changes: Any) -> None:
        self.known = now = replace(self.known, **changes)
        is_news = replace(self._saved, scan_began=now.scan_began) != now
        if is_news or abs(now.scan_began - self._saved.scan_began) >= _SAVED_EVERY:
            self._save(now)
            self._saved = now
