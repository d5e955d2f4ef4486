"""What tests of the stores share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.postgres_backend import all_the_time


@pytest.fixture
def unhurried() -> Iterator[None]:
    """Deliveries to PostgreSQL have all the time that a busy disk may need."""
    with all_the_time():
        yield
