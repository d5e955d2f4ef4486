"""One reader of the store for everyone who watches deliveries live, and how many may."""

from __future__ import annotations

import secrets
import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from admin.events.newest import LiveDelivery, Watch
from admin.page.context import Source
from store.errors import NewerStore, StoreUnavailable

EVERY = 1.0
"""Seconds between two reads of the store."""
STREAMS = 32
"""Streams of one process, each of which holds a thread."""
STREAMS_OF_ONE = 4
"""Streams of one person: a browser keeps at most six connections to a server, and the page itself needs some."""
STREAMS_OF_TOKEN = 24
"""Streams of all who have the same token, however often they log in: the others' holders have room then."""
_KEPT = 1000
"""Changes that are remembered for those who reconnect."""


class TooManyStreams(Exception):
    """The text says whose."""

    def __init__(self, message: str, is_own: bool):
        super().__init__(message)
        self.is_own = is_own
        """Whether they are all of the same person."""


class Feed:
    """Reads the store once a second while anyone watches. Thread-safe."""

    def __init__(self, source: Source):
        self._source = source
        self._changed = threading.Condition()
        self._watchers: Counter[tuple[str, str]] = Counter()
        self._reader: threading.Thread | None = None
        self._stopping = threading.Event()
        self._started()

    def _started(self) -> None:
        self.name = secrets.token_hex(4)
        """Of this row of changes: another process, or a later reader, has another."""
        self._changes: deque[LiveDelivery] = deque(maxlen=_KEPT)
        self._number = 0
        """Of all changes."""
        self.problem: str | None = None
        """Why the store can't be read now."""
        self._has_read = False

    @property
    def number(self) -> int:
        """How many changes there have been."""
        return self._number

    @contextmanager
    def watching(self, person: str, role: str = "admin") -> Iterator[None]:
        """Counts one more stream of this person, whose token has this role. Raises TooManyStreams."""
        with self._changed:
            if self._watchers[role, person] >= STREAMS_OF_ONE:
                raise TooManyStreams(f"{STREAMS_OF_ONE} pages of yours are live already; close one", True)
            of_token = sum(number for (one, _), number in self._watchers.items() if one == role)
            if of_token >= STREAMS_OF_TOKEN or self._watchers.total() >= STREAMS or self._stopping.is_set():
                raise TooManyStreams("too many pages are live; reload the page instead", False)
            self._watchers[role, person] += 1
            if self._reader is None:
                self._started()
                self._reader = threading.Thread(target=self._read, name="live deliveries", daemon=True)
                self._reader.start()
        try:
            yield
        finally:
            with self._changed:
                self._watchers[role, person] -= 1
                self._watchers += Counter()  # forgets those with none left

    def wait_for_first(self, seconds: float) -> bool:
        """Returns once the store has been read, from when on whatever comes is a change; False if it can't be read,
        or not in time."""
        with self._changed:
            self._changed.wait_for(lambda: self._has_read or self.problem or self._stopping.is_set(), seconds)
            return self._has_read

    def since(self, number: int) -> list[LiveDelivery] | None:
        """The changes after the first `number` ones; None if some of them are forgotten."""
        with self._changed:
            wanted = self._number - number
            return None if not 0 <= wanted <= len(self._changes) else [*self._changes][len(self._changes) - wanted :]

    def wait(self, number: int, seconds: float) -> None:
        """Returns once there are more changes than that, or after that time."""
        with self._changed:
            self._changed.wait_for(lambda: self._number > number or self._stopping.is_set(), seconds)

    @property
    def is_stopping(self) -> bool:
        """Whether the process is about to end."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Ends all streams, and lets no more begin."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()

    def _read(self) -> None:
        watch = Watch()
        while True:
            try:
                found, problem = watch.look(self._source.bridge()), None
            except (StoreUnavailable, NewerStore) as error:
                found, problem = [], str(error)
            except Exception:  # the next second is another chance
                structlog.get_logger().exception("the newest deliveries can't be read")
                found, problem = [], "see the log"
            with self._changed:
                self.problem = problem
                self._has_read |= problem is None
                self._changes.extend(found)
                self._number += len(found)
                self._changed.notify_all()
                if not self._watchers.total() or self._stopping.is_set():
                    self._reader = None
                    return
            self._stopping.wait(EVERY)
