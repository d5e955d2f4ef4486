"""Claims targets that are due, and reads their events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from config.watch import DefinitionsSource
from store.clock import MonotonicClock
from store.processes import WorkerStore
from store.records import Event, Target
from worker.delivery.results import Results
from worker.delivery.slots import Claimed, size
from worker.retries import failing_items

CLAIM_EVERY = 0.25
"""Seconds between claims when no targets are known to be due."""
_READ_AT_ONCE = 16
"""Targets whose events are read together: their payloads may be large."""
_STEP = 1000
"""Milliseconds that the clock gains between two claims if it was set; clocks that are adjusted gain
far less."""


class DueTargets:
    """For one thread."""

    def __init__(
        self,
        store: WorkerStore,
        worker_id: str,
        lasts: float,
        definitions: DefinitionsSource,
        clock: MonotonicClock,
        results: Results,
    ):
        """`lasts`: seconds after which another worker may claim a target that has no result.
        `results`: where targets go whose events aren't read."""
        self._store = store
        self._worker_id = worker_id
        self._lasts = int(lasts * 1000)
        self._definitions = definitions
        self._clock = clock
        self._results = results
        self._ahead = float("inf")
        """Milliseconds by which the store's clock was ahead of the monotonic one."""
        self._none_expired_until = float("-inf")
        self.hurry = False
        """Whether targets that only waited for Conductor should become due first."""
        self.again_in = CLAIM_EVERY
        """Seconds, from the last claim, until there may be more to claim, if nobody tells of it
        sooner."""

    def claim(self, room: int) -> list[Target]:
        """Up to `room` targets. Raises StoreUnavailable."""
        claims = self._store.claims
        now = self._store.now()
        paces = self._definitions.current.paces
        if self.hurry:
            claims.hurry(now)
            self.hurry = False
        targets = claims.claim(self._worker_id, now, self._expired_before(now), room, paces)
        self.again_in = CLAIM_EVERY
        if paces:
            turn = claims.next_due(paces)
            # Targets that are already due wait for a free thread, not for their pace.
            if turn is not None and turn > now:
                self.again_in = min(CLAIM_EVERY, (turn - now) / 1000)
        return targets

    def _expired_before(self, now: int) -> int:
        """Claims from before then have run out. None has for a while once the clock was set
        forward: they look older than they are, and their calls may still be in flight."""
        steady = self._clock.monotonic()
        before, self._ahead = self._ahead, now - steady * 1000
        if self._ahead - before >= _STEP:
            self._none_expired_until = steady + self._lasts / 1000
        if steady <= self._none_expired_until:
            return 0
        return now - self._lasts

    def with_events(self, targets: Sequence[Target], payload: int) -> Iterator[list[Claimed]]:
        """The targets with their events, in parts; those beyond this many characters of payload are
        given back.

        Raises StoreUnavailable.
        """
        while targets and payload > 0:  # how large they are is known only once they are read
            part, targets = self._with_events(targets[:_READ_AT_ONCE]), targets[_READ_AT_ONCE:]
            payload -= size(part)
            yield part
        for target in targets:
            self._results.give_back(target)

    def _with_events(self, targets: Sequence[Target]) -> list[Claimed]:
        """The targets with their events. A target whose event can't be read is set aside."""
        events: dict[str, Event] = {}

        def read(some: Sequence[Target]) -> None:
            events.update(
                self._store.queries.events_of(list({target.event_id: None for target in some}))
            )

        reasons = {
            target.id: f"its event can't be read: {type(error).__name__}: {error}"
            for target, error in failing_items(targets, read)
        }
        for target in targets:
            if target.event_id not in events:
                self._results.set_aside(
                    target, None, reasons.get(target.id, "its event isn't in the store")
                )
        return [
            Claimed(target, events[target.event_id])
            for target in targets
            if target.event_id in events
        ]
