"""Keeps each webhook's `hide` in the store, so that values stay hidden after the definition is removed."""

from __future__ import annotations

from config.webhooks import Definitions
from store.sql.admin import HiddenPaths


class KeptHiddenPaths:
    """Writes the changes of the definitions in force."""

    def __init__(self, store: HiddenPaths, definitions: Definitions):
        self._store = store
        self._definitions = definitions
        self._written: Definitions | None = None

    def replace(self, definitions: Definitions) -> None:
        """These are in force now."""
        self._definitions = definitions

    def write(self) -> None:
        """Writes what hasn't been written yet. Raises StoreUnavailable; the next call tries again."""
        current = self._definitions
        if current is self._written:
            return
        kept = self._store.all()
        new = {webhook.name: webhook.hide for webhook in current.webhooks if kept.get(webhook.name) != webhook.hide}
        if new:
            self._store.keep(new)
        self._written = current
