"""Writes results into the store in batches; a result that the store refuses is singled out and set aside.

For one thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog

from store.clock import MonotonicClock
from store.errors import RowsUnavailable
from store.records import Result, SetAside, Target
from store.sql.store import Store
from worker.retries import RARELY, failing_items, wait_before

log = structlog.get_logger()

_ALL = 1 << 20
_TRIES_IN_LANE = 3
"""How often a message is set aside before it leaves its lane, so that those behind it are delivered."""
_SET_ASIDE = 2
"""Times that the store has refused a result once its target is set aside."""
_REASON = 500
"""Characters of a reason, at most."""


@dataclass(frozen=True, slots=True)
class _Recorded:
    """A result to be recorded, and its event's webhook if that is known."""

    result: Result
    webhook: str | None
    refused: int = 0
    """How often the store has refused it, in one form or another."""


class Recording:
    """Results to be recorded, and targets to be given back."""

    def __init__(self, store: Store, worker_id: str, clock: MonotonicClock):
        self._store = store
        self._worker_id = worker_id
        self._clock = clock
        self._results: list[_Recorded] = []
        self._given_back: dict[int, list[Target]] = {}
        """When they are due again → targets to be given back."""
        self._aside: list[tuple[Target, str | None, str]] = []
        """Targets to be set aside, each with its webhook and the reason."""
        self._at_once = _ALL
        """How many results are recorded at once; fewer after the store refused some."""
        self.done_at = float("-inf")
        """When something was last recorded."""

    def __len__(self) -> int:
        return len(self._results) + sum(map(len, self._given_back.values())) + len(self._aside)

    def add(self, result: Result, webhook: str) -> None:
        """Records the result of a call."""
        self._results.append(_Recorded(result, webhook))

    def give_back(self, target: Target, due_at: int | None = None) -> None:
        """Gives the target back without a call: it is due again at that time, or at once."""
        self._given_back.setdefault(self._store.now() if due_at is None else due_at, []).append(target)

    def set_aside(self, target: Target, webhook: str | None, reason: str) -> None:
        """Sets the target aside, since the fault is its own: it is retried ever more rarely, and people see it with
        this reason."""
        self._aside.append((target, webhook, _plain(reason)))

    def run(self) -> bool:
        """Writes everything, and returns whether there were results.

        Raises StoreUnavailable; what couldn't be written is kept.
        """
        if not len(self):
            return False
        results = bool(self._results or self._aside)
        while self._results or self._aside:
            self._set_aside()
            self._record()
        self._give_back()
        self.done_at = self._clock.monotonic()
        return results

    def _record(self) -> None:
        while self._results:
            part, rest = self._results[: self._at_once], self._results[self._at_once :]
            try:
                failed = failing_items(part, self._write)
            except Exception:
                # The store may refuse just one of them, so try fewer next, and these last.
                self._at_once = max(1, len(part) // 2)
                self._results = rest + part
                raise
            self._results = rest
            self._at_once = min(_ALL, 2 * self._at_once)
            for one, error in failed:
                self._refused(one, error)

    def _write(self, some: Sequence[_Recorded]) -> None:
        self._store.claims.record_results(self._worker_id, [one.result for one in some], self._store.now())

    def _refused(self, one: _Recorded, error: Exception) -> None:
        """Has the result recorded with a plain error text, or else its target set aside: the store answers, and accepts
        all other results."""
        target, reason = one.result.target, _plain(f"its result can't be recorded: {type(error).__name__}: {error}")
        log.error("the store refuses a result", target=target.id, event_id=target.event_id, error=reason)
        if one.refused == 0 and not isinstance(error, RowsUnavailable):
            self._results.append(replace(one, result=replace(one.result, error=reason), refused=1))
        elif one.refused < _SET_ASIDE:  # else its claim runs out, and its outcome is looked up
            self.set_aside(target, one.webhook, reason)

    def _set_aside(self) -> None:
        if not self._aside:
            return
        now = self._store.now()
        ids = [str(target.id) for target, _, _ in self._aside]
        before = {item.id: item.tries for item in self._store.quarantine.items("target", ids=ids)}
        items: list[SetAside] = []
        for target, webhook, reason in self._aside:
            tries = before.get(str(target.id), 0) + 1
            due_at = now + int(1000 * wait_before(target.attempts, RARELY, first=2.0))
            items.append(SetAside("target", str(target.id), webhook, reason, now, tries, due_at))
            leaves_lane = target.lane is not None and tries >= _TRIES_IN_LANE
            result = Result(target, "pending", reason, due_at=due_at, leaves_lane=leaves_lane)
            self._results.append(_Recorded(result, webhook, refused=_SET_ASIDE))
        self._aside.clear()
        for item, error in failing_items(items, self._store.quarantine.set_aside):
            log.error("failed items can't be set aside", kind=item.kind, id=item.id, error=ascii(str(error)))

    def _give_back(self) -> None:
        for due_at, together in list(self._given_back.items()):

            def give_back(targets: Sequence[Target], due_at: int = due_at) -> None:
                self._store.claims.give_back(self._worker_id, targets, due_at)

            for target, error in failing_items(together, give_back):  # its claim runs out
                log.error("a target can't be released", target=target.id, error=ascii(str(error)))
            del self._given_back[due_at]


def _plain(reason: str) -> str:
    """The reason in a form that any store can hold."""
    return reason.encode("ascii", "backslashreplace").decode("ascii").replace("\0", "\\0")[:_REASON]
