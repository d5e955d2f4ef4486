"""Results on their way into the store, in batches: what the store refuses is narrowed down, and set aside.

For one thread.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from store.protocols import Claims, Clock, Quarantine, StoreUnavailable
from store.records import Result, SetAside, Target
from store.transitions import ENDED

log = structlog.get_logger()

_ALL = 1 << 20
_LOOK_EVERY = 60.0
"""Seconds between looks which targets are set aside: other workers set some aside too, and end them."""
_LONGEST_PAUSE = 300.0
"""Seconds between two tries of a target that is set aside, at most."""
_REASON = 500
"""Characters of a reason."""


class ResultStore(Claims, Quarantine, Clock, Protocol):
    """What recording needs of the store."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A result, and whose target it is."""

    result: Result
    webhook: str


@dataclass(frozen=True, slots=True)
class GivenBack:
    """A target that no call was made for, and when it is due again."""

    target: Target
    due_at: int


class Recording:
    """What is to be recorded, and what is to be given back."""

    def __init__(self, store: ResultStore, worker_id: str):
        self._store = store
        self._worker_id = worker_id
        self._results: list[Recorded] = []
        self._given_back: list[GivenBack] = []
        self._aside: list[SetAside] = []
        """To be set aside."""
        self._known: dict[int, SetAside] = {}
        """Targets that are set aside, by their number."""
        self._known_at = float("-inf")
        self._at_once = _ALL
        """How many results are recorded at once: fewer after the store has refused some."""
        self.done_at = float("-inf")
        """When something was last recorded, by `time.monotonic`."""

    def __len__(self) -> int:
        return len(self._results) + len(self._given_back) + len(self._aside)

    def add(self, result: Result, webhook: str) -> None:
        """What came of a call."""
        self._results.append(Recorded(result, webhook))

    def give_back(self, target: Target, due_at: int | None = None) -> None:
        """No call was made for the target: it is due again, at once without a time."""
        self._given_back.append(GivenBack(target, self._store.now() if due_at is None else due_at))

    def set_aside(self, target: Target, webhook: str | None, reason: str) -> None:
        """The target itself is what is wrong: it waits, longer each time, with this reason."""
        now = self._store.now()
        reason = _storable(reason)
        due_at = now + int(1000 * min(_LONGEST_PAUSE, 2.0 ** min(target.attempts, 10)))
        self._results.append(Recorded(Result(target, "pending", reason, due_at=due_at), webhook or ""))
        self._note_aside(target, webhook, reason, now, due_at)

    def clear(self) -> None:
        """Forgets all of it."""
        self._results.clear()
        self._given_back.clear()
        self._aside.clear()

    def run(self) -> bool:
        """Records what there is; whether there were results. Raises StoreUnavailable: the rest is still to be done."""
        if not len(self):
            return False
        results = bool(self._results)
        self._record()
        self._give_back()
        if self._aside:
            items = {item.id: item for item in self._aside}
            self._store.set_aside(list(items.values()))
            self._aside.clear()
        self.done_at = time.monotonic()
        return results

    # --- one after the other ---

    def _record(self) -> None:
        while self._results:
            part = self._results[: self._at_once]
            try:
                self._store.record_results(self._worker_id, [one.result for one in part], self._store.now())
            except StoreUnavailable:
                # It may be one of them that the store can't take, so fewer are tried next, and that one last of all.
                if len(part) > 1:
                    self._at_once = len(part) // 2
                else:
                    self._results.append(self._results.pop(0))
                raise
            except Exception as error:
                if len(part) > 1:
                    self._at_once = len(part) // 2
                    continue
                self._results.pop(0)
                self._refused(part[0], error)
            else:
                del self._results[: len(part)]
                self._at_once = min(_ALL, 2 * self._at_once)
                self._take_back([one.result for one in part])

    def _refused(self, one: Recorded, error: Exception) -> None:
        """The store answers, and takes all others."""
        target, reason = one.result.target, _storable(f"its result can't be recorded: {type(error).__name__}: {error}")
        log.error("the store refuses a result", target=target.id, event_id=target.event_id, error=reason)
        now = self._store.now()
        due_at = now + int(1000 * min(_LONGEST_PAUSE, 2.0 ** min(target.attempts, 10)))
        for plain in (replace(one.result, error=reason), Result(target, "pending", reason, due_at=due_at)):
            try:
                self._store.record_results(self._worker_id, [plain], now)
            except StoreUnavailable:
                self._results.append(one)
                raise
            except Exception as still:
                log.error("the store refuses it in plain words too", target=target.id, error=ascii(str(still)))
                continue
            if plain.state in ENDED:
                return
            break
        # Also if nothing at all could be recorded: then its claim runs out, and it is looked up.
        self._note_aside(target, one.webhook or None, reason, now, due_at)

    def _give_back(self) -> None:
        while self._given_back:
            due_at = self._given_back[0].due_at
            together = [one.target for one in self._given_back if one.due_at == due_at]
            self._store.give_back(self._worker_id, together, due_at)
            self._given_back = [one for one in self._given_back if one.due_at != due_at]

    # --- what is set aside ---

    def _note_aside(self, target: Target, webhook: str | None, reason: str, now: int, due_at: int) -> None:
        before = self._known.get(target.id)
        since, tries = (before.since, before.tries + 1) if before is not None else (now, 1)
        item = SetAside("target", str(target.id), webhook, reason, since, tries, due_at)
        self._known[target.id] = item
        self._aside.append(item)

    def _take_back(self, results: Sequence[Result]) -> None:
        """Targets that have ended aren't set aside any more."""
        now = time.monotonic()
        if now >= self._known_at + _LOOK_EVERY:
            self._known_at = now
            found = self._store.quarantined("target")
            self._known = {int(item.id): item for item in (*found, *self._aside) if item.id.isdecimal()}
        ended = [result.target.id for result in results if result.state in ENDED and result.target.id in self._known]
        if ended:
            self._store.take_back("target", [str(target_id) for target_id in ended])
            for target_id in ended:
                del self._known[target_id]


def _storable(reason: str) -> str:
    """The reason as any store can hold it."""
    return reason.encode("ascii", "backslashreplace").decode("ascii").replace("\0", "\\0")[:_REASON]
