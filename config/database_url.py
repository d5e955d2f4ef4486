"""The URL of a store, as people may see it."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode


def without_password(url: str) -> str:
    """The URL with ``***`` for its password, wherever it stands."""
    scheme, _, rest = url.partition("://")
    if scheme not in ("postgresql", "postgres"):
        return url
    authority, slash, path = rest.partition("/")
    user, at, hosts = authority.rpartition("@")
    if "@" in path:  # a / in the password: then nobody can say where it ends
        return f"{scheme}://***"
    name, colon, _ = user.partition(":")
    path, question, query = path.partition("?")
    if "password" in query:
        pairs = parse_qsl(query, keep_blank_values=True)
        query = urlencode([(key, "***" if "password" in key else value) for key, value in pairs], safe="*,/")
    return f"{scheme}://{name}{':***' if colon else ''}{at}{hosts}{slash}{path}{question}{query}"
