"""Writes results into the store in batches; a result that the store refuses is singled out and set aside.

For one thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import structlog

from store.clock import MonotonicClock
from store.errors import RowsUnavailable
from store.records import Result, SetAside, Target
from store.rules.transitions import ENDED
from store.sql.store import Store
from worker.failing_items import concerns_all, failing_items
from worker.retries import RARELY, wait_before

log = structlog.get_logger()

_ALL = 1 << 20
_READ_EVERY = 60.0
"""Seconds between reads of which targets are set aside: other workers also set some aside, and finish them."""
_TRIES_IN_LANE = 3
"""How often a message is set aside before it leaves its lane, so that those behind it are delivered."""
_REASON = 500
"""Characters of a reason, at most."""


class Recording:
    """Results to be recorded, and targets to be given back."""

    def __init__(self, store: Store, worker_id: str, clock: MonotonicClock):
        self._store = store
        self._worker_id = worker_id
        self._clock = clock
        self._results: list[tuple[Result, str | None]] = []
        """To be recorded, each with its webhook."""
        self._given_back: dict[int, list[Target]] = {}
        """When they are due again → targets to be given back."""
        self._aside: dict[str, SetAside] = {}
        """Targets to be set aside, by their number."""
        self._known: dict[int, SetAside] = {}
        """Targets that are set aside, by their number."""
        self._known_at = float("-inf")
        self._at_once = _ALL
        """How many results are recorded at once; fewer after the store refused some."""
        self.done_at = float("-inf")
        """When something was last recorded."""
        self.is_awaited = False
        """Whether another target, or the leader, waits for one of the results."""

    def __len__(self) -> int:
        return len(self._results) + sum(map(len, self._given_back.values())) + len(self._aside)

    def add(self, result: Result, webhook: str) -> None:
        """Records the result of a call."""
        self._results.append((result, webhook))
        target = result.target
        if result.state not in ("done", "pending") or target.lane is not None or target.once_key is not None:
            self.is_awaited = True

    def give_back(self, target: Target, due_at: int | None = None) -> None:
        """Gives the target back without a call: it is due again at that time, or at once."""
        self._given_back.setdefault(self._store.now() if due_at is None else due_at, []).append(target)

    def set_aside(self, target: Target, webhook: str | None, reason: str) -> None:
        """Sets the target aside, since the fault is its own: it is retried ever more rarely, and people see it with
        this reason."""
        now = self._store.now()
        result = _pending(target, _plain(reason), now)
        self._note_aside(result, webhook, now)
        if target.lane is not None and self._known[target.id].tries >= _TRIES_IN_LANE:
            result = replace(result, leaves_lane=True)
        self._results.append((result, webhook))

    def clear(self) -> None:
        """Forgets everything."""
        self._results.clear()
        self._given_back.clear()
        self._aside.clear()
        self.is_awaited = False

    def run(self) -> bool:
        """Writes everything, and returns whether there were results.

        Raises StoreUnavailable; what couldn't be written is kept.
        """
        if not len(self):
            return False
        results = bool(self._results)
        self._record()
        self._give_back()
        if self._aside:
            for item, error in failing_items(list(self._aside.values()), self._store.quarantine.set_aside):
                log.error("failed items can't be set aside", kind=item.kind, id=item.id, error=ascii(str(error)))
            self._aside.clear()
        self.done_at, self.is_awaited = self._clock.monotonic(), False
        return results

    # --- results ---

    def _record(self) -> None:
        while self._results:
            part = self._results[: self._at_once]
            try:
                self._store.claims.record_results(self._worker_id, [result for result, _ in part], self._store.now())
            except Exception as error:
                if concerns_all(error):
                    # The store may refuse just one of them, so try fewer next, and this one last.
                    if len(part) > 1:
                        self._at_once = len(part) // 2
                    else:
                        self._results.append(self._results.pop(0))
                    raise
                self._narrow_down(part, error)
            else:
                del self._results[: len(part)]
                self._at_once = min(_ALL, 2 * self._at_once)
                self._take_back([result for result, _ in part])

    def _narrow_down(self, part: Sequence[tuple[Result, str | None]], error: Exception) -> None:
        """Sets aside those of the first results that the store refuses, or has fewer of them recorded next."""
        refused = list(part) if len(part) == 1 else []
        if isinstance(error, RowsUnavailable) and not refused:
            # Halving would wait in vain for what somebody has locked, at each step.
            locked = self._store.quarantine.locked(list({result.target.event_id for result, _ in part}))
            refused = [one for one in part if one[0].target.event_id in locked]
        if not refused:
            self._at_once = len(part) // 2
        for one in refused:
            self._results.remove(one)
            self._refused(*one, error)

    def _refused(self, result: Result, webhook: str | None, error: Exception) -> None:
        """Sets the result's target aside: the store answers, and accepts all other results."""
        target, reason = result.target, _plain(f"its result can't be recorded: {type(error).__name__}: {error}")
        log.error("the store refuses a result", target=target.id, event_id=target.event_id, error=reason)
        now = self._store.now()
        pending = _pending(target, reason, now)
        # A row that somebody has locked isn't waited for again.
        for plain in (pending,) if isinstance(error, RowsUnavailable) else (replace(result, error=reason), pending):
            try:
                self._store.claims.record_results(self._worker_id, [plain], now)
            except Exception as still:
                if concerns_all(still):
                    self._results.append((result, webhook))
                    raise
                log.error("the store refuses even its plain error text", target=target.id, error=ascii(str(still)))
                continue
            if plain.state in ENDED:
                return
            break
        # Even if nothing could be recorded: then its claim runs out, and its outcome is looked up.
        self._note_aside(pending, webhook, now)

    def _give_back(self) -> None:
        for due_at, together in list(self._given_back.items()):

            def give_back(targets: Sequence[Target], due_at: int = due_at) -> None:
                self._store.claims.give_back(self._worker_id, targets, due_at)

            for target, error in failing_items(together, give_back):  # its claim runs out
                log.error("a target can't be released", target=target.id, error=ascii(str(error)))
            del self._given_back[due_at]

    # --- what is set aside ---

    def _note_aside(self, pending: Result, webhook: str | None, now: int) -> None:
        target_id = pending.target.id
        before = self._known.get(target_id)
        since, tries = (before.since, before.tries + 1) if before is not None else (now, 1)
        item = SetAside("target", str(target_id), webhook, pending.error or "", since, tries, pending.due_at)
        self._known[target_id] = self._aside[item.id] = item

    def _take_back(self, results: Sequence[Result]) -> None:
        """Takes finished targets out of the quarantine."""
        now = self._clock.monotonic()
        if now >= self._known_at + _READ_EVERY:
            self._known_at = now
            found = self._store.quarantine.items("target")
            self._known = {int(item.id): item for item in (*found, *self._aside.values()) if item.id.isdecimal()}
        ended = [result.target.id for result in results if result.state in ENDED and result.target.id in self._known]
        if ended:
            self._store.quarantine.take_back("target", [str(target_id) for target_id in ended])
            for target_id in ended:
                del self._known[target_id]


def _pending(target: Target, reason: str, now: int) -> Result:
    """Tries the target again, ever more rarely."""
    return Result(target, "pending", reason, due_at=now + int(1000 * wait_before(target.attempts, RARELY, first=2.0)))


def _plain(reason: str) -> str:
    """The reason in a form that any store can hold."""
    return reason.encode("ascii", "backslashreplace").decode("ascii").replace("\0", "\\0")[:_REASON]
