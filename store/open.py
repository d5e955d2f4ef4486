"""Opens the store that a URL names."""

from __future__ import annotations

from store.errors import StoreRefused
from store.sql.deliveries import Scheduler
from store.sql.store import Store


def open_store(
    url: str,
    *,
    migrate: bool = True,
    scheduler: Scheduler | None = None,
) -> Store:
    """The store at ``sqlite:///PATH`` or ``postgresql://…``.

    With `migrate`, creates the database if there is none, and migrates it to this program's
    schema; without, a missing database is an error, and nothing is written. `scheduler`: for a
    process that runs greenlets (`sql.group_commit`).

    Raises StoreUnavailable if it can't be opened or doesn't exist (StoreRefused if that won't pass
    by itself), NewerStore if it is for newer programs only.
    """
    scheme = url.partition(":")[0]
    if scheme == "sqlite":
        from store import sqlite

        return sqlite.open_store(url, migrate=migrate, scheduler=scheduler)
    if scheme in ("postgresql", "postgres"):
        try:
            from store import postgres
        except ImportError as error:
            raise StoreRefused(
                f"the libraries for PostgreSQL are missing ({error}); "
                "pip install '.[postgres]' in a checkout, or 'WHEEL[postgres]'"
            ) from None
        return postgres.open_store(url, migrate=migrate, scheduler=scheduler)
    raise StoreRefused(f"no store supports {scheme}: URLs")
