"""What one worker has to write about the targets that it has claimed: results, and what is given
back or set aside.

Results are written in batches; one that the store refuses is singled out, and its target set aside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from store.clock import MonotonicClock
from store.processes import WorkerStore
from store.records import Result, SetAside, Target
from worker.retries import RARELY, failing_items, wait_before

log = structlog.get_logger()

_ALL = 1 << 20
_TRIES_IN_LANE = 3
"""How often a message is set aside before it leaves its lane, so that those behind it are
delivered."""
_REASON = 500
"""Characters of a reason, at most."""


@dataclass(frozen=True, slots=True)
class _Recorded:
    """A result to be recorded, and its event's webhook if that is known."""

    result: Result
    webhook: str | None
    is_aside: bool = False
    """Whether its target has been set aside: if the store refuses the result too, the claim runs
    out."""


class Results:
    """For one thread. Everything is kept until the store has it."""

    def __init__(self, store: WorkerStore, worker_id: str, clock: MonotonicClock):
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
        self.recorded_at = float("-inf")
        """When something was last recorded."""

    @property
    def unrecorded(self) -> bool:
        """Whether anything is to be written."""
        return bool(self._results or self._given_back or self._aside)

    def add(self, result: Result, webhook: str) -> None:
        """Records the result of a call."""
        self._results.append(_Recorded(result, webhook))

    def give_back(self, target: Target, due_at: int | None = None) -> None:
        """Gives the target back without a call: it is due again at that time, or at once."""
        if due_at is None:
            due_at = self._store.now()
        self._given_back.setdefault(due_at, []).append(target)

    def set_aside(self, target: Target, webhook: str | None, reason: str) -> None:
        """Sets the target aside, since the fault is its own: it is retried ever more rarely, and
        people see it with this reason."""
        self._aside.append((target, webhook, reason[:_REASON]))

    def record(self) -> bool:
        """Writes everything, and returns whether there were results.

        Raises StoreUnavailable; what couldn't be written is kept.
        """
        if not self.unrecorded:
            return False
        results = bool(self._results or self._aside)
        while self._results or self._aside:
            self._set_aside()
            self._record()
        self._give_back()
        self.recorded_at = self._clock.monotonic()
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
                target = one.result.target
                reason = f"its result can't be recorded: {type(error).__name__}: {error}"
                log.error(
                    "the store refuses a result",
                    target=target.id,
                    event_id=target.event_id,
                    error=ascii(reason),
                )
                if not one.is_aside:
                    self.set_aside(target, one.webhook, reason)

    def _write(self, some: Sequence[_Recorded]) -> None:
        self._store.claims.record_results(
            self._worker_id, [one.result for one in some], self._store.now()
        )

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
            self._results.append(_Recorded(result, webhook, is_aside=True))
        self._aside.clear()
        for item, error in failing_items(items, self._store.quarantine.set_aside):
            log.error(
                "failed items can't be set aside",
                kind=item.kind,
                id=item.id,
                error=ascii(str(error)),
            )

    def _give_back(self) -> None:
        for due_at, together in list(self._given_back.items()):

            def give_back(targets: Sequence[Target], due_at: int = due_at) -> None:
                self._store.claims.give_back(self._worker_id, targets, due_at)

            for target, error in failing_items(together, give_back):  # its claim runs out
                log.error("a target can't be released", target=target.id, error=ascii(str(error)))
            del self._given_back[due_at]
