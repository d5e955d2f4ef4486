"""Turns PostgreSQL's errors into texts that say what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psycopg
from psycopg import errors

from store.errors import RowsUnavailable, StoreRefused, StoreUnavailable, Unstorable
from store.postgres.address import Address

OLDEST_SERVER = 130000
"""PostgreSQL 13, as the server numbers its versions."""


_REFUSALS = ("FATAL:", "no password supplied", "SSL was required", "certificate")
_OF_THE_MOMENT = (
    "the database system is",
    "too many",
    "connection slots",
    "terminating",
    "cannot connect",
    "timeout",
)
"""The server is starting or stopping, or is full, or a pooler finds no server: this passes."""


_OF_ROWS = ("XX", "58", "55P03", "40P01")
"""Data or files are damaged; a lock couldn't be had in time, or only by a deadlock."""


def of_connecting(error: BaseException, address: Address) -> StoreUnavailable:
    """Why no connection was made. libpq gives no code for it, only the server's text."""
    if isinstance(error, StoreUnavailable):
        return error
    text = str(error)
    refused = any(word in text for word in _REFUSALS) and not any(
        word in text for word in _OF_THE_MOMENT
    )
    return (StoreRefused if refused else StoreUnavailable)(
        _why_not_connected(_text(error), address)
    )


def _why_not_connected(text: str, address: Address) -> str:
    user, database = address.parameters.get("user", ""), address.parameters.get("dbname", "")
    if "password authentication failed" in text or "empty password" in text:
        return (
            f"PostgreSQL refuses the password of the user {user or 'that libpq takes'}; "
            "check PGPASSWORD, .pgpass or BRIDGE_DATABASE"
        )
    if "no password supplied" in text:
        return (
            f"PostgreSQL wants a password for the user {user or 'that libpq takes'}; set"
            " PGPASSWORD, or write it into a .pgpass file of mode 0600"
        )
    if "database" in text and "does not exist" in text:
        return (
            f"there is no database {database} at {address.shown}; "
            f"create it (createdb {database}), or correct BRIDGE_DATABASE"
        )
    if "role" in text and "does not exist" in text:
        return (
            f"PostgreSQL has no user {user}; create it (createuser {user}), or correct"
            " BRIDGE_DATABASE"
        )
    return f"PostgreSQL at {address.shown} can't be reached: {text}"


def of_migrating(error: psycopg.Error, address: Address) -> StoreUnavailable:
    """Why the tables could not be created or found."""
    if isinstance(error, errors.InsufficientPrivilege):
        return may_make_no_tables(_text(error), address)
    return of_statement(error)


def may_make_no_tables(why: str, address: Address) -> StoreRefused:
    """For a user without the right to create the bridge's tables."""
    user, schema = address.parameters.get("user", "USER"), address.schema
    return StoreRefused(
        f"the user {user} may not create the bridge's tables in {address.shown}: {why}; as an"
        f" administrator of that database run: CREATE SCHEMA {schema} AUTHORIZATION {user}, or, if"
        f" the schema is there, make the user its owner (ALTER SCHEMA {schema} OWNER TO {user}) and"
        " that of its tables"
    )


def of_statement(error: psycopg.Error) -> StoreUnavailable:
    """Why a statement failed."""
    if isinstance(error, errors.InsufficientPrivilege):
        return StoreRefused(
            f"PostgreSQL: {_text(error)}; make the bridge's user the owner of its schema and tables"
        )
    of_rows = error.sqlstate is not None and error.sqlstate.startswith(_OF_ROWS)
    return (RowsUnavailable if of_rows else StoreUnavailable)(f"PostgreSQL: {_text(error)}")


def too_old(version: int) -> str:
    """For a server older than the bridge can use."""
    major = version // 10000
    return (
        f"the server is PostgreSQL {major}, and the bridge needs {OLDEST_SERVER // 10000} or newer;"
        " upgrade the server"
    )


def advice(settings: Mapping[str, str]) -> list[str]:
    """The risks of these server settings, each with a remedy."""
    found = []
    if settings.get("transaction_read_only") == "on":
        found.append(
            "the server accepts no writes, so deliveries are answered 503 and nothing is decided:"
            " it is a standby, or default_transaction_read_only is on; let BRIDGE_DATABASE name the"
            " primary, or all servers, or turn it off"
        )
    if settings.get("synchronous_commit") == "off":
        found.append(
            "the server has synchronous_commit off. The bridge turns it on for itself, so that a"
            " 2xx means that the event is on disk; turn it on for all (ALTER SYSTEM SET"
            " synchronous_commit = on). With a synchronous standby (synchronous_standby_names) a"
            " 2xx survives the loss of the host too"
        )
    if settings.get("synchronous_commit") == "local" and settings.get("synchronous_standby_names"):
        found.append(
            "the server has synchronous_commit local, so a 2xx doesn't wait for the synchronous"
            " standby and may not survive the loss of the host; set it to on"
        )
    for name in ("fsync", "full_page_writes"):
        if settings.get(name) == "off":
            found.append(
                f"the server has {name} off: a crash of its machine may lose what was answered 2xx,"
                " and the whole database; turn it on"
            )
    return found


def _text(error: BaseException) -> str:
    """The first line of what the server or libpq says, which never holds the password."""
    text = str(error).strip()
    lines = text.splitlines() or [type(error).__name__]
    return lines[0]


@contextmanager
def translated() -> Iterator[None]:
    """Turns PostgreSQL's temporary errors (down, full, read-only) into StoreUnavailable, and those
    that may be about single rows (locked, damaged) into RowsUnavailable."""
    try:
        yield
    except (psycopg.IntegrityError, psycopg.DataError, errors.ProgramLimitExceeded) as error:
        raise Unstorable(f"PostgreSQL: {error}") from error
    except psycopg.NotSupportedError:
        raise
    except psycopg.ProgrammingError as error:
        if isinstance(
            error, (errors.InsufficientPrivilege, errors.UndefinedTable, errors.InvalidSchemaName)
        ):
            raise of_statement(error) from error
        raise
    except psycopg.Error as error:
        raise of_statement(error) from error
