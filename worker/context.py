"""What all parts of a worker work with, where its definitions come from, and how its threads talk
to each other."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field, replace

import structlog

from config.last_good import LastGood
from config.logs import some_of
from config.process import WakeUp
from config.settings import Settings
from config.watch import STILL_IN_FORCE, DefinitionsSource, Listener
from config.webhooks import Definitions, DefinitionsError, Webhook
from store.clock import MonotonicClock
from store.processes import WorkerStore
from store.reports import Reports
from worker import metrics
from worker.conductor.client import Conductor
from worker.health import Health
from worker.retries import concerns_all

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Context:
    """The same objects for all parts of one worker."""

    settings: Settings
    store: WorkerStore
    conductor: Conductor
    definitions: DefinitionsSource
    health: Health
    clock: MonotonicClock = time
    stop: WakeUp = field(default_factory=WakeUp)
    """Rung when the worker should end: it cuts every pause short."""


class Inbox:
    """What other threads ask of one thread. Any thread may put a message; the owning thread alone
    handles them."""

    def __init__(self, owner: str):
        """`owner`: who handles the messages, for the log."""
        self._owner = owner
        self._messages: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def __len__(self) -> int:
        return self._messages.qsize()

    def put(self, message: Callable[[], None]) -> None:
        """Has the owner call this. Safe in signal handlers."""
        self._messages.put(message)

    def handle(self, seconds: float = 0) -> None:
        """Handles the messages that are there; waits up to `seconds` for the first one.

        Those that come meanwhile are for the next time: others may put them faster than they are
        handled, and the thread has more to do. One that fails is logged, as the thread must go on;
        errors that concern all are raised.
        """
        with suppress(queue.Empty):
            first = (
                self._messages.get(timeout=seconds) if seconds > 0 else self._messages.get_nowait()
            )
            for number in range(1 + len(self)):
                try:
                    (self._messages.get_nowait() if number else first)()
                except Exception as error:
                    if concerns_all(error):
                        raise
                    log.exception(f"a message to {self._owner} failed unexpectedly")


def open_definitions(settings: Settings, store: WorkerStore) -> DefinitionsSource:
    """Reads the definitions from the files. No secret is looked up, since the worker verifies
    nothing.

    If a file is broken at the start, uses the last good webhooks that an earlier process kept.
    Raises DefinitionsError if nothing good is known.
    """
    last_good = LastGood(may_be_empty=settings.bridge_admin_writes, looks_up_secrets=False)
    left = frozenset(settings.bridge_leave_to_conductor)
    definitions = last_good.begin(settings.bridge_webhooks, store.kept_definitions.all)
    definitions = without(definitions, left)
    metrics.DEFINITIONS_OK.labels("worker").set(not definitions.errors)
    if definitions.errors:
        log.error(STILL_IN_FORCE, errors="\n".join(map(str, definitions.errors)))
    source = DefinitionsSource(
        settings.bridge_webhooks, lambda path: without(last_good.load(path), left), definitions
    )
    source.listener = _Changes(source, store)
    return source


def without(definitions: Definitions, workflows: Collection[str]) -> Definitions:
    """The definitions without what they say of these workflows, which webhooks of Conductor's own
    serve."""
    if not workflows:
        return definitions

    def changed(webhook: Webhook) -> Webhook:
        receivers = {
            name: versions for name, versions in webhook.receivers.items() if name not in workflows
        }
        starts = tuple(start for start in webhook.starts if start.workflow not in workflows)
        messages = tuple(
            message for message in webhook.messages if message.workflow not in workflows
        )
        return webhook.model_copy(
            update={"receivers": receivers, "starts": starts, "messages": messages}
        )

    return replace(definitions, webhooks=tuple(map(changed, definitions.webhooks)))


class _Changes(Listener):
    """Logs and records changes. The relay keeps the good definitions, since it alone checks all of
    them."""

    def __init__(self, source: DefinitionsSource, store: WorkerStore):
        self._source = source
        self._store = store
        self._known = set(source.current.by_name)

    def changed(self, definitions: Definitions) -> None:
        metrics.DEFINITIONS_OK.labels("worker").set(not definitions.errors)
        log.info("definitions reloaded", webhooks=some_of(definitions.by_name))

    def broken(self, error: DefinitionsError) -> None:
        metrics.DEFINITIONS_OK.labels("worker").set(0)
        log.error(STILL_IN_FORCE, errors=str(error))

    def record(self, error: str | None) -> None:
        store = self._store
        store.reports.write(Reports(worker_definitions_error=error or ""))
        names = set(self._source.current.by_name)
        gone = self._known - names
        store.reports.webhooks_gone(gone, names)
        if gone:
            log.warning("webhooks are gone from the definitions", webhooks=some_of(sorted(gone)))
        self._known = names
