"""``python -m worker``: the worker process."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from types import FrameType

import structlog

from config.logs import configure_logging
from config.process import WakeUp
from config.settings import SettingsError, load_settings
from config.webhooks import DefinitionsError
from store import tracing
from store.errors import NewerStore, StoreUnavailable
from store.open import open_store
from worker.conductor.client import Conductor
from worker.conductor.server import Server
from worker.context import Context, open_definitions
from worker.health import Health, serve
from worker.leader.worker import Worker
from worker.notify import EVERY, Apprise, Notifier

log = structlog.get_logger()

HARD_STOP_AFTER = 9.0
"""Seconds from the signal. systemd and Kubernetes wait longer than this before they kill the
worker."""
_STORE_WAITS = 6.5
"""Seconds from the signal after which nothing waits for the store any more."""
_LAST_WORDS = 0.5
"""Seconds for writing to the log: whatever reads it may hang, too."""
USAGE = """usage: python -m worker

Finds waiting WAIT_FOR_WEBHOOK tasks in Conductor, matches stored events with them, completes the tasks and starts
workflows. Stop it with SIGTERM or Ctrl-C; SIGHUP reloads the webhook definitions. Settings come from the
environment and .env: BRIDGE_WEBHOOKS, BRIDGE_DATABASE, CONDUCTOR_SERVER_URL and others (README.md lists them all)."""


def main() -> int:
    """Runs the worker until a signal. Exit codes: 0 after a clean stop, 1 if it can't start, 2 for
    wrong usage."""
    if len(sys.argv) > 1:
        wanted = sys.argv[1] in ("-h", "--help")
        print(USAGE, file=sys.stdout if wanted else sys.stderr)
        return 0 if wanted else 2
    try:
        settings = load_settings()
        configure_logging(settings.bridge_log_format, "worker")
        tracing.configure("worker")
        store = open_store(settings.bridge_database)
        source = open_definitions(settings, store)
        sender = (
            Apprise(settings.bridge_notify.get_secret_value()) if settings.bridge_notify else None
        )
    except (SettingsError, DefinitionsError, NewerStore, StoreUnavailable) as error:
        print(error, file=sys.stderr)
        return 1
    with suppress(StoreUnavailable):  # the next check tries again
        source.announce()
    health = Health(store.leadership)
    conductor = Conductor(Server.of(settings), settings.bridge_call_timeout, store)
    worker = Worker(Context(settings, store, conductor, source, health))
    if sender is not None:
        notifier = Notifier(store, sender.send, lambda: worker.is_leader, settings.bridge_admin_url)
        worker.every(EVERY, "notifications", notifier.step)

    signalled = WakeUp()
    threading.Thread(target=end_after, args=(signalled,), name="hard stop", daemon=True).start()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            worker.reload()
        else:
            signalled.ring()
            store.end_waits(_STORE_WAITS)
            worker.stop()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, on_signal)
    serve(settings.bridge_worker_metrics, health)  # whoever sees that it is alive may end it, too
    worker.run()
    return 0


def end_after(signalled: WakeUp) -> None:
    """Ends the process `HARD_STOP_AFTER` seconds after the signal, from a thread of its own: a call
    to Conductor or the store may hang for longer than stopping may take."""
    while not signalled.wait(3600):
        pass
    time.sleep(HARD_STOP_AFTER)
    with suppress(RuntimeError):  # no thread could be started
        last_words = threading.Thread(target=_say_last_words, daemon=True)
        last_words.start()
        last_words.join(_LAST_WORDS)
    # As after a crash: calls in flight are looked up by the next worker, and the term runs out.
    os._exit(0)


def _say_last_words() -> None:
    log.error("the worker was killed because something in it hangs", seconds=HARD_STOP_AFTER)
    _flush()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()


if __name__ == "__main__":
    code = main()
    tracing.flush()
    _flush()
    os._exit(code)  # without waiting for threads, whose calls may hang
