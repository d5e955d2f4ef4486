"""What the admin page has the store remember."""

from __future__ import annotations

from store.protocols import Store
from tests.store.contract.makers import NOW


def test_the_session_key_is_made_once_and_in_no_fact(store: Store, other: Store) -> None:
    key = store.session_key()
    assert len(key) == 32
    assert other.session_key() == key
    assert store.fingerprint_salt() not in (key, key[:16])
    assert key.hex() not in str(store.facts())


def test_a_session_that_ended_is_over_for_every_process_until_its_cookie_is_too_old(store: Store, other: Store) -> None:
    assert not store.is_session_over("a")
    store.end_session("a", NOW + 10, NOW)
    store.end_session("a", NOW + 10, NOW)
    assert other.is_session_over("a")
    other.end_session("b", NOW + 30, NOW + 20)
    assert store.is_session_over("b")
    assert not store.is_session_over("a"), "nobody has to remember what is too old anyway"


def test_hidden_paths_are_remembered_by_webhook_an_empty_list_too(store: Store, other: Store) -> None:
    assert store.hidden_paths() == {}
    store.keep_hidden_paths({"a": ["$.x", "$['ü']"], "b": []})
    store.keep_hidden_paths({"a": ["$.y"]})
    store.keep_hidden_paths({})
    assert other.hidden_paths() == {"a": ("$.y",), "b": ()}
