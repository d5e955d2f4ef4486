"""Every test of the contract runs on every store.

After each the plans of all statements are looked at that it had executed, and whether tables that
follow from others still do.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from store.sql.store import Store
from tests.support.backends import BACKENDS, Backend


@pytest.fixture(params=sorted(BACKENDS))
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    """One kind of store."""
    backend = BACKENDS[request.param](request, tmp_path)
    try:
        yield backend
        scans = backend.full_scans()
        assert not scans, "\n\n".join(["statements that read a whole table:", *scans])
        assert not backend.differences()
    finally:
        backend.close()


@pytest.fixture
def store(backend: Backend) -> Store:
    """A store in which the worker `me` has leadership."""
    store = backend.open()
    assert store.leadership.elect("me", 10**6)
    return store


@pytest.fixture
def other(backend: Backend, store: Store) -> Store:
    """The same store, as another process sees it."""
    return backend.open()
