"""What all tests of the worker share."""

from __future__ import annotations

import pytest

from worker.delivery import earlier_starts


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look-ups are repeated at once: a simulated server writes nothing meanwhile."""
    monkeypatch.setattr(earlier_starts, "_PAUSES", (0.0, 0.0))
