"""Finds the workflow that an earlier try started, even if Conductor's own look-up doesn't know it.

Most servers look it up in their store. On Redis they ask the index, which learns of it late, or
never if Conductor is killed in between. In that case the running workflows, which do come from the
store, are read one by one.

On PostgreSQL, Conductor leaves a workflow out while it is being written (measured; it skips locked
rows), and one that has just started is written again and again. So a look-up that finds nothing is
repeated a moment later.

What Conductor itself no longer has, such as a workflow that was archived as it ended, its index may
still show.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

import structlog

from store.clock import PausingClock
from worker.conductor.client import Conductor
from worker.conductor.errors import ConductorError, NotNow, Refused, Unreachable, is_denied
from worker.conductor.search import fits_path

log = structlog.get_logger()

_Found = TypeVar("_Found")

_PAUSES = (0.2, 0.5)
"""Seconds before an earlier start is looked for again: a write takes less, unless the server is
very slow."""
_LAG = 2.0
"""Seconds that an index may lag. An earlier try had its effect before that, if any: it is looked
for only once its call can no longer be in flight."""
_SAMPLES = 3
"""Starts that are looked up right after Conductor's answer, when an index wouldn't know them yet.
"""
_LONGEST_PAGE = 2.0
"""Seconds for reading one workflow."""
_LONGEST_READING = 5.0
"""Seconds for which one try may read workflows; the next try reuses what was read."""


class EarlierStarts:
    """Queries one Conductor server. Thread-safe."""

    def __init__(self, conductor: Conductor, clock: PausingClock = time):
        self._conductor = conductor
        self._clock = clock
        self._known_at_once = 0
        """Starts that Conductor's look-up knew at once; negative once it didn't know one."""
        self._reading = threading.Lock()
        self._read: dict[str, dict[str, str | None]] = {}
        """Workflow name → id of each running workflow read so far → its correlation id, which never
        changes."""
        self._failed: Counter[str] = Counter()
        """Id of each running workflow that couldn't be read → number of failures."""

    def made(self, name: str, correlation_id: str) -> None:
        """Conductor has just confirmed that it started this workflow: a chance to learn where it
        looks up starts."""
        if 0 <= self._known_at_once < _SAMPLES and fits_path(name):
            with suppress(ConductorError):
                if self._conductor.started(name, correlation_id) is None:
                    self._known_at_once = -_SAMPLES
                else:
                    self._known_at_once += 1

    def find(self, name: str, correlation_id: str, renew: Callable[[], object]) -> str | None:
        """The id of the workflow with this correlation id; None if there is none. `renew`: as of
        `in_index`.

        Raises ConductorError: NotNow while some running workflows are still unread, Refused if it
        can never be told.
        """

        def look() -> str | None:
            return self._conductor.started(name, correlation_id)

        if fits_path(name):
            found = look() or self.look_again(look) or self.find_running(name, correlation_id)
            return found or self.in_index(
                partial(self._conductor.started_in_index, name, correlation_id), renew
            )
        found = look() or self.in_index(look, renew)
        if found is None and not self._conductor.indexes_workflows():
            raise Refused(
                f"{name} can only be found in Conductor's index, which is empty; is indexing off?"
            )
        return found

    def look_again(self, look: Callable[[], _Found]) -> _Found | None:
        """What a look-up of an earlier start that has just found nothing finds a moment later."""
        for pause in _PAUSES:
            self._clock.sleep(pause)
            found = look()
            if found is not None:
                return found
        return None

    def in_index(
        self, look: Callable[[], _Found | None], renew: Callable[[], object]
    ) -> _Found | None:
        """What a look into the index finds that must show by now whatever an earlier try did; None
        also without an index. `renew` renews the target's claim: with what went before, this may
        take as long as a claim lasts.

        Raises ConductorError, and what `renew` raises.
        """
        renew()
        self._clock.sleep(_LAG)
        try:
            return look()
        except ConductorError as error:
            if not is_denied(error):
                raise
            return None

    def find_running(self, name: str, correlation_id: str) -> str | None:
        """The id of a running workflow with this correlation id that Conductor's look-up doesn't
        know; None if there is none.

        Raises ConductorError: NotNow while some running workflows are still unread.
        """
        if self._known_at_once >= _SAMPLES:  # it looks starts up in its store
            return None
        if not self._reading.acquire(blocking=False):
            raise NotNow("the running workflows are being read for another start")
        try:
            return self._find_running(name, correlation_id)
        except ConductorError as error:
            # The key may lack the permission to list them, for example: then rely on Conductor's
            # look-up.
            if not is_denied(error):
                raise
            log.warning(
                "the running workflows can't be searched for an earlier start",
                workflow=name,
                error=str(error),
            )
            return None
        finally:
            self._reading.release()

    def _find_running(self, name: str, correlation_id: str) -> str | None:
        running = self._conductor.running(name)
        before = self._read.get(name, {})
        read = self._read[name] = {id_: before[id_] for id_ in running if id_ in before}
        self._failed = Counter({id_: self._failed[id_] for id_ in running if id_ in self._failed})
        unread = [id_ for id_ in running if id_ not in read]
        failure = self._read_more(unread, read)
        for id_, found in read.items():
            if found == correlation_id:
                return id_
        if failure is not None and self._failed.keys() >= set(running):
            raise failure  # perhaps the key may not read any
        if len(read) < len(running):
            reason = (
                f"{len(read)} of {len(running)} running workflows have been read to find an earlier"
                " start"
            )
            if failure is not None:
                reason += f"; one can't be read: {failure}"
            raise NotNow(reason)
        return None

    def _read_more(
        self, unread: Sequence[str], read: dict[str, str | None]
    ) -> ConductorError | None:
        """Adds the correlation ids of unread workflows to those that were `read`, for as long as
        one try may. Returns the last failure."""
        until = self._clock.monotonic() + _LONGEST_READING
        failure: ConductorError | None = None
        # Unreadable ones come last, so that one that hangs doesn't hold up the others.
        for id_ in sorted(unread, key=self._failed.__getitem__):
            try:
                read[id_] = self._conductor.within(_LONGEST_PAGE).correlation_id(id_)
            except Unreachable:
                raise
            except ConductorError as error:
                self._failed[id_] += 1
                failure = error
            if self._clock.monotonic() > until:
                break
        return failure


def ensure_it_goes_on(conductor: Conductor, workflow_id: str) -> None:
    """Gets the workflow going if Conductor, killed between a call's effect and the next step, left
    it stuck.

    To be called once it is known that a call whose answer was lost did take effect in this
    workflow. Raises NotNow while the workflow is stuck, and other ConductorErrors.
    """
    try:
        goes = not conductor.evaluate(workflow_id) or conductor.goes(workflow_id)
    except ConductorError as error:
        # The key may lack the permission, for example: the call took effect all the same.
        if not is_denied(error):
            raise
        log.warning(
            "Conductor won't evaluate a workflow", workflow_id=workflow_id, error=str(error)
        )
        return
    if not goes:
        raise NotNow(
            f"workflow {workflow_id} was started, but Conductor hasn't scheduled any of its"
            " tasks yet"
        )
