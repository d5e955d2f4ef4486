"""The definitions in the worker: where they begin, and what is said of a change."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from config.last_good import LastGood
from config.settings import Settings
from config.watch import DefinitionsWatcher
from config.webhooks import Definitions, DefinitionsError
from store.gone import facts_of_gone
from store.protocols import Store
from worker import metrics

log = structlog.get_logger()

STILL_IN_FORCE = "the definitions have errors; the last good ones of each file are in force"


def watch_definitions(settings: Settings, store: Callable[[], Store]) -> DefinitionsWatcher:
    """The watch on the definitions' files. No secret is looked up: the worker verifies nothing.

    It begins with what an earlier process has kept, where a file is broken. `store` opens the store, where that is
    needed. Raises DefinitionsError if nothing good is known.
    """
    last_good = LastGood(may_be_empty=settings.bridge_admin_writes, environment=lambda: None)
    definitions = last_good.begin(settings.bridge_webhooks, lambda: store().kept_definitions.all())
    metrics.DEFINITIONS_OK.labels("worker").set(not definitions.errors)
    if definitions.errors:
        log.error(STILL_IN_FORCE, errors="\n".join(map(str, definitions.errors)))
    known = set(definitions.by_name)

    def changed(new: Definitions) -> None:
        metrics.DEFINITIONS_OK.labels("worker").set(not new.errors)
        log.info("definitions reloaded", webhooks=[webhook.name for webhook in new.webhooks])

    def broken(error: DefinitionsError) -> None:
        metrics.DEFINITIONS_OK.labels("worker").set(0)
        log.error(STILL_IN_FORCE, errors=str(error))

    # What is good is kept by the relay, which alone looks at all of it: platforms, secrets.
    def note(error: str | None) -> None:
        nonlocal known
        there = store()
        there.facts.set("definitions_error:worker", error)
        names = set(watcher.current.by_name)
        for name, value in facts_of_gone(there.facts.all(), known - names, names, there.now()).items():
            there.facts.set(name, value)
        if known - names:
            log.warning("webhooks are gone from the definitions", webhooks=sorted(known - names))
        known = names

    watcher = DefinitionsWatcher(
        settings.bridge_webhooks, last_good.load, on_change=changed, on_error=broken, current=definitions, note=note
    )
    return watcher
