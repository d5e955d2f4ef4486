"""A store that was filled is one that the bridge might have filled itself."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from store.open import open_store
from store.sql.event_search import EventFilter
from testkit.full_store import fill


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_store_is_filled_with_finished_events_and_waiting_tasks(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path}/full.db" if kind == "sqlite" else request.getfixturevalue("postgres_url")
    fill(url, 1000, 7)
    with closing(open_store(url)) as store:
        assert store.queries.event_counts() == {"delivered": 900, "expired": 90, "failed": 10}
        assert store.queries.waiting_count() == 7
        assert store.decisions.agenda(9).undecided == []
        [newest] = store.queries.events(EventFilter(limit=1))
        assert newest.document()["event"] == {"kind": "old", "number": 999}
        [target] = store.queries.targets_of([newest.id])
        assert target.task_id is not None
        assert store.queries.task(target.task_id).state == "completed"  # type: ignore[union-attr]
