"""Tokens of a Conductor that has keys. Conductor's own client sends and renews them; it would give
up permanently after one failed renewal, a few failures, or a single 404."""

from __future__ import annotations

import json
import time

from conductor.client.configuration.settings.authentication_settings import AuthenticationSettings
from conductor.client.http.api.token_resource_api import TokenResourceApi
from conductor.client.http.api_client import ApiClient

from worker.conductor.errors import ConductorError, Garbled, NotNow, Unreachable
from worker.conductor.server import Server

_AGAIN = 30.0
"""Seconds after which a server that had no tokens is asked again."""


class Tokens:
    """The token that all threads' calls carry."""

    def __init__(self, client: ApiClient, server: Server):
        self._settings: AuthenticationSettings | None = None
        if server.key and server.secret:
            self._settings = AuthenticationSettings(key_id=server.key, key_secret=server.secret)
        self._configuration = client.configuration
        self._api = TokenResourceApi(client)
        self._had_none = float("-inf")
        """When the server last had no tokens."""

    def ensure(self) -> None:
        """Gets a token for the call that follows, unless there is one, or no key, or the server has
        no tokens.

        Raises Unreachable, and NotNow if Conductor gives no token.
        """
        if self._settings is None or self._configuration.AUTH_TOKEN is not None:
            return
        if time.monotonic() - self._had_none <= _AGAIN:
            return
        key = {"keyId": self._settings.key_id, "keySecret": self._settings.key_secret}
        try:
            token = _token_in(self._api.generate_token(key, _preload_content=False).data)
        except Unreachable:
            raise
        except ConductorError as error:
            if error.status == 404:
                self._had_none = time.monotonic()
                return
            text = "Conductor issues no token for CONDUCTOR_AUTH_KEY and CONDUCTOR_AUTH_SECRET"
            raise NotNow(f"{text} ({error})", error.status) from error
        # So that the client sends and renews it.
        self._configuration.authentication_settings = self._settings
        self._configuration.update_token(token)


def _token_in(answer: str) -> str:
    try:
        token = json.loads(answer)["token"]
    except (KeyError, TypeError, ValueError):
        token = None
    if not token or not isinstance(token, str):
        raise Garbled("the answer has no token")
    return token
