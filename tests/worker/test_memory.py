"""A worker's memory doesn't grow with the events that wait for it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.worker.memory import measured


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")
def test_large_events_that_piled_up_do_not_fill_the_memory(tmp_path: Path) -> None:
    """A hundred took 800 MB."""
    _, most = measured(tmp_path, 40)
    assert most < 200_000
