"""What the admin page has the store remember."""

from __future__ import annotations

from store.sql.store import Store
from tests.support.makers import NOW


def test_the_session_key_is_made_once(store: Store, other: Store) -> None:
    key = store.sessions.key()
    assert len(key) == 32
    assert other.sessions.key() == key
    assert store.verifications.salt() not in (key, key[:16])


def test_a_session_that_ended_is_over_for_every_process_until_its_cookie_is_too_old(
    store: Store, other: Store
) -> None:
    assert not store.sessions.is_over("a")
    store.sessions.end("a", NOW + 10, NOW)
    store.sessions.end("a", NOW + 10, NOW)
    assert other.sessions.is_over("a")
    other.sessions.end("b", NOW + 30, NOW + 20)
    assert store.sessions.is_over("b")
    assert not store.sessions.is_over("a"), "nobody has to remember what is too old anyway"


def test_hidden_paths_are_remembered_by_webhook_an_empty_list_too(
    store: Store, other: Store
) -> None:
    assert store.hidden_paths.all() == {}
    store.hidden_paths.keep({"a": ["$.x", "$['ü']"], "b": []})
    store.hidden_paths.keep({"a": ["$.y"]})
    store.hidden_paths.keep({})
    assert other.hidden_paths.all() == {"a": ("$.y",), "b": ()}
