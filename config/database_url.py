"""A store's URL: which are supported, and how they are shown."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode


def checked(url: str) -> str:
    """The URL, if a store may have it. Raises ValueError."""
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite" and rest.startswith("/") and rest != "/":
        return url
    if scheme in ("postgresql", "postgres") and rest:
        return url
    raise ValueError(
        "neither SQLite nor PostgreSQL; write sqlite:///PATH, such as sqlite:///data/bridge.db, or "
        "postgresql://USER@HOST/DATABASE"
    )


def without_password(url: str) -> str:
    """The URL with ``***`` in place of its password, wherever that is."""
    scheme, _, rest = url.partition("://")
    if scheme not in ("postgresql", "postgres"):
        return url
    authority, slash, path = rest.partition("/")
    user, at, hosts = authority.rpartition("@")
    if "@" in path:  # a / in the password makes its end ambiguous
        return f"{scheme}://***"
    name, colon, _ = user.partition(":")
    path, question, query = path.partition("?")
    if "password" in query:
        pairs = parse_qsl(query, keep_blank_values=True)
        query = urlencode([(key, "***" if "password" in key else value) for key, value in pairs], safe="*,/")
    return f"{scheme}://{name}{':***' if colon else ''}{at}{hosts}{slash}{path}{question}{query}"
