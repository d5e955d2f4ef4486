"""PostgreSQL's errors, in words that say what to do."""

from __future__ import annotations

import psycopg
from psycopg import errors

from events.postgres.address import Address

OLDEST_SERVER = 130000
"""PostgreSQL 13, as the server numbers its versions."""


def of_connecting(error: BaseException, address: Address) -> str:
    """Why no connection came about. libpq gives no code for it, only the server's text."""
    text = _text(error)
    user, database = address.parameters.get("user", ""), address.parameters.get("dbname", "")
    if "password authentication failed" in text or "empty password" in text:
        return (
            f"PostgreSQL refuses the password of the user {user or 'that libpq takes'}; "
            "look at PGPASSWORD, .pgpass or BRIDGE_DATABASE"
        )
    if "no password supplied" in text:
        return (
            f"PostgreSQL wants a password for the user {user or 'that libpq takes'}; set PGPASSWORD, or write it into "
            "a .pgpass file of mode 0600"
        )
    if "database" in text and "does not exist" in text:
        return (
            f"there is no database {database} at {address.shown}; "
            f"make it (createdb {database}), or correct BRIDGE_DATABASE"
        )
    if "role" in text and "does not exist" in text:
        return f"PostgreSQL knows no user {user}; make it (createuser {user}), or correct BRIDGE_DATABASE"
    return f"PostgreSQL at {address.shown} can't be reached: {text}"


def of_migrating(error: psycopg.Error, address: Address) -> str:
    """Why the tables could not be made."""
    if isinstance(error, errors.InsufficientPrivilege):
        user = address.parameters.get("user", "USER")
        return (
            f"the user {user} may not make the bridge's tables in {address.shown}: {_text(error)}; as an administrator "
            f"of that database run: CREATE SCHEMA IF NOT EXISTS {address.schema} AUTHORIZATION {user}"
        )
    return f"PostgreSQL: {_text(error)}"


def of_statement(error: BaseException) -> str:
    """Why a statement failed."""
    return f"PostgreSQL: {_text(error)}"


def too_old(version: int) -> str:
    """For a server older than the bridge can use."""
    major = version // 10000
    return (
        f"the server is PostgreSQL {major}, and the bridge needs {OLDEST_SERVER // 10000} or newer; upgrade the server"
    )


def _text(error: BaseException) -> str:
    """The first line of what the server or libpq says, which never holds the password."""
    text = str(error).strip()
    lines = text.splitlines() or [type(error).__name__]
    return lines[0]
