"""Where the database is: a libpq URL, and the bridge's own schema."""

from __future__ import annotations

import re
from dataclasses import dataclass

import psycopg
from psycopg.conninfo import conninfo_to_dict

from config.urls import without_password
from store.errors import StoreRefused

SCHEMA = "webhook_bridge"
"""The schema, unless the URL names another (``?schema=NAME``)."""
_CONNECT_TIMEOUT = 2  # seconds per host: psycopg replaces smaller values by this
_UNACKNOWLEDGED = 4000
"""Milliseconds after which the kernel drops a connection whose data isn't acknowledged: the network
was cut."""


@dataclass(frozen=True)
class Address:
    """A database, and how to reach it."""

    parameters: dict[str, str]
    """libpq's parameters, including the password."""
    schema: str
    shown: str
    """The URL without its password, for people."""

    @classmethod
    def parse(cls, url: str) -> Address:
        """Reads a URL as libpq does, with our own parameter ``schema``.

        Raises StoreRefused, without any part of the URL that may be a password.
        """
        schema, rest = _schema_of(url)
        if not re.fullmatch(r"[a-z_][a-z0-9_]{0,47}", schema):
            raise StoreRefused(
                "the schema in BRIDGE_DATABASE must be lower-case letters, digits and _, at most"
                f" 48 of them, such as ?schema={SCHEMA}"
            )
        try:
            given = conninfo_to_dict(rest)
        except psycopg.Error:  # its words repeat parts of the URL
            raise StoreRefused(
                "BRIDGE_DATABASE is not a URL that PostgreSQL's library can read; write"
                " postgresql://USER@HOST:PORT/DATABASE, and other characters of a name or password"
                " as %XX"
            ) from None
        parameters = {
            "connect_timeout": str(_CONNECT_TIMEOUT),
            "tcp_user_timeout": str(_UNACKNOWLEDGED),
            "keepalives_idle": "5",
            "keepalives_interval": "2",
            "keepalives_count": "3",
            "fallback_application_name": "webhook-bridge",
            **{name: str(value) for name, value in given.items() if value is not None},
            # Whatever is given: payloads are sent as the bytes that they came in.
            "client_encoding": "utf8",
        }
        if "," in parameters.get("host", "") + parameters.get("hostaddr", ""):
            # Of several servers, use the one that accepts writes, wherever a failover has moved it.
            parameters.setdefault("target_session_attrs", "read-write")
        return cls(parameters, schema, without_password(url))


def _schema_of(url: str) -> tuple[str, str]:
    """The schema in the URL, and the URL without it."""
    before, question, query = url.partition("?")
    kept, schema = [], SCHEMA
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if name == "schema":
            schema = value
        elif part:
            kept.append(part)
    return schema, before + (question + "&".join(kept) if kept else "")
