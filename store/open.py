"""Opens the store that a URL names."""

from __future__ import annotations

import time
from collections.abc import Callable

from store.errors import StoreRefused
from store.protocols import Store


def open_store(
    url: str,
    *,
    migrate: bool = True,
    gather: Callable[[], None] | None = None,
    nap: Callable[[float], None] = time.sleep,
) -> Store:
    """The store at ``sqlite:///PATH`` or ``postgresql://…``.

    With `migrate` the database is made if there is none, and brought to this program's version; without, a missing
    database is an error, and nothing is written. `gather` lets other deliveries that are ready join a commit
    (`store.group_commit`); `nap` is how a process of greenlets waits a moment with all of them.

    Raises StoreUnavailable if it can't be opened or isn't there (StoreRefused if that won't pass by itself), NewerStore
    if a newer program made it.
    """
    scheme = url.partition(":")[0]
    if scheme == "sqlite":
        from store import sqlite

        return sqlite.open_store(url, migrate=migrate, gather=gather, nap=nap)
    if scheme in ("postgresql", "postgres"):
        try:
            from store import postgres
        except ImportError as error:
            raise StoreRefused(
                f"the libraries for PostgreSQL are missing ({error}); pip install 'conductor-webhook-bridge[postgres]'"
            ) from None
        return postgres.open_store(url, migrate=migrate, gather=gather)
    raise StoreRefused(f"there is no store for {scheme}: URLs")
