"""PostgreSQL's errors, in words that say what to do."""

from __future__ import annotations

from collections.abc import Mapping

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


def advice(settings: Mapping[str, str]) -> list[str]:
    """What these settings of the server put at risk, each with a remedy."""
    found = []
    if settings.get("synchronous_commit") == "off":
        found.append(
            "the server has synchronous_commit off. The bridge turns it on for itself, so that a 2xx means that the "
            "event is on disk; turn it on for everybody (ALTER SYSTEM SET synchronous_commit = on). With a synchronous "
            "standby (synchronous_standby_names) a 2xx survives the loss of the host too"
        )
    if settings.get("synchronous_commit") == "local" and settings.get("synchronous_standby_names"):
        found.append(
            "the server has synchronous_commit local, so a 2xx doesn't wait for the synchronous standby and may not "
            "survive the loss of the host; set it to on"
        )
    for name in ("fsync", "full_page_writes"):
        if settings.get(name) == "off":
            found.append(
                f"the server has {name} off: a crash of its machine may lose what was answered 2xx, and the whole "
                "database; turn it on"
            )
    return found


def _text(error: BaseException) -> str:
    """The first line of what the server or libpq says, which never holds the password."""
    text = str(error).strip()
    lines = text.splitlines() or [type(error).__name__]
    return lines[0]
