"""What really fetches a vendor's keys has all the time that a busy machine may need."""

from __future__ import annotations

import pytest

from relay.verify import vendor_keys
from tools.servers import PATIENCE


@pytest.fixture(autouse=True)
def _patient_fetches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vendor_keys, "TIMEOUT", PATIENCE)
