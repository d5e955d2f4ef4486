"""Who follows events on PostgreSQL, where an event may become visible after others with higher
numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from admin.bridge import Bridge
from admin.events import follow
from admin.events.follow import Follower
from admin.search import Search
from config.webhooks import Definitions
from store.errors import StoreUnavailable
from store.postgres import PostgresStore, open_store
from tests.support.makers import arrive
from tests.support.postgres_backend import all_the_time
from tests.support.sample import settings_for

_STOPPED = """
INSERT INTO webhook_bridge.events (id, webhook, received_at, payload, headers, query, hold_until)
VALUES ('overtaken', 'w', 0, '{}', '{}', '{}', 0)
"""
"""What a relay writes that is stopped before it commits."""


@pytest.fixture
def store(migrated_url: str) -> Iterator[PostgresStore]:
    with closing(open_store(migrated_url)) as store, all_the_time():
        yield store


def following(store: PostgresStore, folder: Path) -> Follower:
    return Follower(Bridge(settings_for(folder), store, Definitions(())), Search())


def seen(follower: Follower) -> list[str]:
    return [news.event.id for news in follower.look()]


@pytest.mark.parametrize("begins", ["before", "while", "after others"])
def test_an_event_that_was_overtaken_is_told_once(
    store: PostgresStore, migrated_url: str, tmp_path: Path, begins: str
) -> None:
    follower = following(store, tmp_path)
    with psycopg.connect(migrated_url) as stopped:
        stopped.execute(_STOPPED)
        if begins == "while":
            follower = following(store, tmp_path)
        arrive(store, "e1")
        if begins == "after others":
            follower = following(store, tmp_path)
        else:
            assert seen(follower) == ["e1"]
        for number in range(2, 5):
            arrive(store, f"e{number}")
            assert seen(follower) == [f"e{number}"], "however often it looks meanwhile"
        stopped.commit()
    assert seen(follower) == ["overtaken"]
    assert seen(follower) == seen(follower) == []


def test_what_is_looked_at_again_is_bounded(
    store: PostgresStore, migrated_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "_OVERTAKEN", 2)
    follower = following(store, tmp_path)
    with psycopg.connect(migrated_url) as stopped:
        stopped.execute(_STOPPED)
        ids = [arrive(store, f"e{number}") for number in range(5)]
        assert seen(follower) == ids
        assert len(follower._seen) == 2
        stopped.rollback()


def test_what_cannot_be_read_to_its_end_is_told_at_the_next_look(
    store: PostgresStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = following(store, tmp_path)
    arrive(store, "e1")

    def away(event_ids: object, most: int) -> None:
        raise StoreUnavailable("away")

    with monkeypatch.context() as patches:
        patches.setattr(store.queries, "some_targets_of", away)
        with pytest.raises(StoreUnavailable):
            follower.look()
    assert seen(follower) == ["e1"]
