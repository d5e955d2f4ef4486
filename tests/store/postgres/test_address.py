"""Where the database is, and that its password is never shown."""

from __future__ import annotations

import pytest

from config.urls import without_password
from store.errors import StoreUnavailable
from store.postgres.address import SCHEMA, Address


def test_a_url_is_read_as_libpq_reads_it_and_the_schema_is_ours() -> None:
    address = Address.parse(
        "postgresql://me:s%20cret@db:5433/bridge?sslmode=verify-full&schema=hooks"
    )
    assert address.schema == "hooks"
    expected = {
        "host": "db",
        "port": "5433",
        "user": "me",
        "password": "s cret",
        "dbname": "bridge",
    }
    assert expected.items() <= address.parameters.items()
    assert address.parameters["sslmode"] == "verify-full"
    assert "schema" not in address.parameters
    assert Address.parse("postgresql://db/bridge").schema == SCHEMA


def test_text_is_utf_8_whatever_the_url_says() -> None:
    assert (
        Address.parse("postgresql://host/bridge?client_encoding=latin1").parameters[
            "client_encoding"
        ]
        == "utf8"
    )


def test_of_several_hosts_the_one_that_takes_writes_is_meant() -> None:
    assert "target_session_attrs" not in Address.parse("postgresql://a/x").parameters
    several = Address.parse("postgresql://a:1,b:2/x").parameters
    assert (several["host"], several["port"], several["target_session_attrs"]) == (
        "a,b",
        "1,2",
        "read-write",
    )
    assert (
        Address.parse("postgresql://a,b/x?target_session_attrs=any").parameters[
            "target_session_attrs"
        ]
        == "any"
    )


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (
            "postgresql://me:secret@db:5433/bridge?sslmode=require",
            "postgresql://me:***@db:5433/bridge?sslmode=require",
        ),
        ("postgresql://me@db/bridge", "postgresql://me@db/bridge"),
        (
            "postgresql://db/bridge?user=me&password=secret",
            "postgresql://db/bridge?user=me&password=***",
        ),
        (
            "postgresql:///bridge?host=/run/pg&sslpassword=secret",
            "postgresql:///bridge?host=/run/pg&sslpassword=***",
        ),
        ("postgresql://me:p@secret@a,b:2/x", "postgresql://me:***@a,b:2/x"),
        ("postgresql://me:a/secret@db/x", "postgresql://***"),
    ],
)
def test_a_password_is_never_shown(url: str, shown: str) -> None:
    assert without_password(url) == shown


@pytest.mark.parametrize(
    "url", ["postgresql://me:secret@db/x?colour=red", "postgresql://me:sec%zzret@db/x"]
)
def test_a_url_that_libpq_cannot_read_is_said_without_a_word_of_it(url: str) -> None:
    with pytest.raises(StoreUnavailable) as caught:
        Address.parse(url)
    assert "BRIDGE_DATABASE" in str(caught.value)
    assert "sec" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("schema", ["", "Hooks", "a-b", 'x"; DROP', "x" * 49])
def test_a_schema_has_a_plain_name(schema: str) -> None:
    with pytest.raises(StoreUnavailable, match="schema"):
        Address.parse(f"postgresql://db/x?schema={schema}")
