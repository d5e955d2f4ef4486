"""What people did, and the pictures' numbers."""

from __future__ import annotations

import time
from pathlib import Path

from events.open import open_store
from events.records import Change


def test_changes_are_kept_newest_first(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'bridge.db'}")
    for number, webhook in enumerate(["one", "other", "one"]):
        store.record_change(Change(number, "admin", "edited", webhook, f"change {number}"))
    assert [change.at for change in store.changes()] == [2, 1, 0]
    assert store.changes("one", 1) == [Change(2, "admin", "edited", "one", "change 2")]
    store.close()


def test_deliveries_are_counted_by_hour(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'bridge.db'}")
    store.record_rejections([], {("one", "accepted"): 3, ("other", "accepted"): 2, ("one", "rejected"): 1})
    hours = store.delivery_hours(int(time.time() * 1000) - 7_200_000)
    assert sorted((outcome, number) for _hour, outcome, number in hours) == [("accepted", 5), ("rejected", 1)]
    assert all(hour % 3_600_000 == 0 for hour, _outcome, _number in hours)
    assert [number for _hour, _outcome, number in store.delivery_hours(0, "other")] == [2]
    store.close()
