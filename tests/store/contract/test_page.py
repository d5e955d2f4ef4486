"""What the admin page has the store remember."""

from __future__ import annotations

from dataclasses import replace

from store.delivery_records import SavedDelivery
from store.sql.store import Store
from tests.store.contract.makers import NOW


def test_the_session_key_is_made_once_and_in_no_fact(store: Store, other: Store) -> None:
    key = store.sessions.key()
    assert len(key) == 32
    assert other.sessions.key() == key
    assert store.verifications.salt() not in (key, key[:16])
    assert key.hex() not in str(store.facts.all())


def test_a_session_that_ended_is_over_for_every_process_until_its_cookie_is_too_old(store: Store, other: Store) -> None:
    assert not store.sessions.is_over("a")
    store.sessions.end("a", NOW + 10, NOW)
    store.sessions.end("a", NOW + 10, NOW)
    assert other.sessions.is_over("a")
    other.sessions.end("b", NOW + 30, NOW + 20)
    assert store.sessions.is_over("b")
    assert not store.sessions.is_over("a"), "nobody has to remember what is too old anyway"


def test_hidden_paths_are_remembered_by_webhook_an_empty_list_too(store: Store, other: Store) -> None:
    assert store.hidden_paths.all() == {}
    store.hidden_paths.keep({"a": ["$.x", "$['ü']"], "b": []})
    store.hidden_paths.keep({"a": ["$.y"]})
    store.hidden_paths.keep({})
    assert other.hidden_paths.all() == {"a": ("$.y",), "b": ()}


ODD = SavedDelivery("w", "ü 'x' %s", NOW, "PUT", "a=%s&b=?", {"X-B": "2", "X-A": "\ud800"}, '{"a": "\0 \U0001f600"}')


def test_a_saved_delivery_is_kept_as_it_was_written_whatever_is_in_it(store: Store, other: Store) -> None:
    assert store.saved_deliveries.save(ODD, 1)
    (found,) = other.saved_deliveries.of_webhook("w")
    assert found == other.saved_deliveries.find("w", ODD.name) == ODD
    assert list(found.headers) == ["X-B", "X-A"]
    assert other.saved_deliveries.find("another", ODD.name) is None
    assert other.saved_deliveries.of_webhook("another") == []


def test_a_webhook_has_only_so_many_saved_deliveries_and_one_of_each_name(store: Store) -> None:
    saved = store.saved_deliveries
    assert [saved.save(replace(ODD, name=name), 2) for name in ("b", "a", "c")] == [True, True, False]
    assert saved.save(replace(ODD, name="a", body="{}", saved_at=NOW + 1), 2), "in place of the one of that name"
    assert [(one.name, one.body) for one in saved.of_webhook("w")] == [("a", "{}"), ("b", ODD.body)]
    assert saved.save(replace(ODD, webhook="another", name="c"), 2), "each webhook has its own"


def test_a_saved_delivery_is_deleted_once(store: Store, other: Store) -> None:
    store.saved_deliveries.save(ODD, 1)
    assert [one.saved_deliveries.delete("w", ODD.name) for one in (other, store)] == [True, False]
    assert store.saved_deliveries.of_webhook("w") == []
