"""What all tests of the worker share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog

from worker.decision import lookups
from worker.delivery import earlier_starts


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look-ups are repeated at once: a simulated server writes nothing meanwhile, and its index
    doesn't lag."""
    monkeypatch.setattr(earlier_starts, "_PAUSES", (0.0, 0.0))
    monkeypatch.setattr(earlier_starts, "_LAG", 0.0)


@pytest.fixture
def patient_look_ups(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look-up of a workflow that doesn't hang ends in time on a busy machine, too."""
    monkeypatch.setattr(lookups, "_PATIENCE", 5.0)


@pytest.fixture
def quiet() -> Iterator[None]:
    """Thousands of steps needn't be logged."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    yield
    structlog.configure(**before)
