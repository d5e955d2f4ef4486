"""What the relay does besides answering: each worker process watches the definitions and writes its
outcomes."""

from __future__ import annotations

import os
import signal
import threading

import structlog

from config.logs import some_of
from config.process import WakeUp
from config.watch import STILL_IN_FORCE, DefinitionsSource
from relay import metrics
from relay.reports.outcomes import Outcomes
from relay.reports.raw_deliveries import Keeper
from relay.waiting.senders import Waiting
from store.errors import StoreUnavailable

CHECK_INTERVAL = 2.0
"""Seconds between two checks of the definitions by gunicorn's parent."""
FLUSH_INTERVAL = 1.0
"""Seconds between two writes of the outcomes."""


class Background:
    """Started in each worker process after its fork, since threads don't survive one."""

    def __init__(
        self,
        definitions: DefinitionsSource,
        outcomes: Outcomes,
        keeper: Keeper,
        waiting: Waiting,
        metrics_address: str | None,
    ):
        self._definitions = definitions
        self.outcomes = outcomes
        self.keeper = keeper
        self.waiting = waiting
        self._metrics_address = metrics_address
        self._pid: int | None = None
        self._parent: int | None = None
        self._wakeup: WakeUp | None = None
        self._stopped = threading.Event()

    @property
    def is_running(self) -> bool:
        """Whether it has been started in this process."""
        return self._pid == os.getpid()

    def start(self) -> None:
        """Starts this process's threads, if they aren't running."""
        if self.is_running:
            return
        self._pid = os.getpid()
        self._stopped = threading.Event()
        self._definitions.start()
        self._flusher = threading.Thread(target=self._run, name="outcomes", daemon=True)
        self._flusher.start()
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGHUP, lambda *_: self._definitions.force())

    def before_fork(self) -> None:
        """For gunicorn's parent process, whose workers then serve the metrics of all at one port,
        and tell it about new definitions."""
        if self._metrics_address is not None:
            try:
                metrics.serve(self._metrics_address)
            except OSError as error:
                structlog.get_logger().warning(
                    "can't listen on the metrics port; set BRIDGE_RELAY_METRICS to another address,"
                    " or to off",
                    address=self._metrics_address,
                    error=str(error),
                )
        self._parent = os.getpid()
        self._wakeup = WakeUp()

    def keep_up(self) -> None:
        """Keeps the definitions in gunicorn's parent process up to date: new workers start with
        them.

        Whenever a worker reads new definitions, so does the parent: a worker that starts while the
        files are broken starts with the last good ones.
        """
        while self._wakeup is not None:
            told = self._wakeup.wait(CHECK_INTERVAL)
            if os.getpid() != self._parent:  # a greenlet, unlike a thread, survives a fork
                return
            if told:
                self._wakeup.clear()
                self._definitions.force()
            try:
                self._definitions.check()
            except Exception:  # raised by the listener: watching must go on
                structlog.get_logger().exception("the changed definitions could not be read")

    def tell_parent(self) -> None:
        """Tells the parent that this process has read new definitions."""
        if self._wakeup is not None:
            self._wakeup.ring()

    def reload_now(self) -> None:
        """Reads the definitions before anything else happens.

        The next workers start with what was read here, so only this process can report how reading
        went.
        """
        self._definitions.force()
        self._definitions.check()
        if self._definitions.error is None:
            structlog.get_logger().info(
                "definitions reloaded", webhooks=some_of(self._definitions.current.by_name)
            )
        else:
            structlog.get_logger().error(STILL_IN_FORCE, errors=self._definitions.error)

    def stop(self) -> None:
        """Stops the threads, and writes the remaining outcomes."""
        if not self.is_running:
            return
        self._pid = None
        self.waiting.stop()
        self._stopped.set()
        self._definitions.stop()
        self._flusher.join(timeout=10)
        self.outcomes.flush()

    def _run(self) -> None:
        announced, pause = False, 0.0
        while not self._stopped.wait(pause):
            pause = FLUSH_INTERVAL
            try:
                # Metrics first: people watch them while the store is unavailable.
                self.outcomes.flush()
                if not announced:
                    self._definitions.announce()
                    announced = True
                self.keeper.prune()
            except StoreUnavailable as error:
                structlog.get_logger().warning(
                    "can't keep the store in order yet", error=str(error)
                )
            except Exception:  # the next second is another chance
                structlog.get_logger().exception("could not write the outcomes")
