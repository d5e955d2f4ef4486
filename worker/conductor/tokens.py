"""Tokens of a Conductor that has keys, by Conductor's own client. Nothing imports this without a key: the client's
modules are a quarter of a worker's start."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from conductor.client.configuration.configuration import Configuration
from conductor.client.configuration.settings.authentication_settings import AuthenticationSettings
from conductor.client.http.api_client import ApiClient
from conductor.client.http.rest import AuthorizationException, RESTResponse

from worker.conductor.errors import ConductorError, NotNow, Response, Unreachable, answered

_AGAIN = 30.0
"""Seconds until a token is requested again after a failure."""


class Tokens:
    """The token that all threads' calls carry."""

    def __init__(self, send: Callable[[str, str, Any], Response], url: str, key: str, secret: str):
        """`send` sends a request of the current call: method, path below the API's, and body."""
        self._settings = AuthenticationSettings(key_id=key, key_secret=secret)
        self._connection = _Connection(send, url)
        self._configuration = Configuration(server_api_url=url)
        self._configuration.http_connection = self._connection
        # Created without credentials: it would otherwise request a token at once.
        self._configuration.authentication_settings = None
        self._client = ApiClient(self._configuration)
        self._configuration.authentication_settings = self._settings
        self._asked = float("-inf")

    def headers(self) -> dict[str, str]:
        """What a call carries; nothing if the server has no tokens.

        Raises Unreachable, and NotNow if Conductor gives no token.
        """
        if self._configuration.AUTH_TOKEN is None:
            self._ask()
        if self._configuration.authentication_settings is None:
            return {}
        found = self._client.get_authentication_headers() or {"header": {}}
        return {name: token for name, token in found["header"].items() if token}

    def renewed(self, declined: Response) -> bool:
        """Whether a call was declined for its token alone, and there is a new one."""
        if declined.status_code not in (401, 403):
            return False
        error = AuthorizationException(http_resp=RESTResponse(declined))
        return (error.token_expired or error.invalid_token) and bool(self._client.force_refresh_auth_token())

    def _ask(self) -> None:
        """The client itself would give up permanently after a few failures, or after a single 404."""
        if time.monotonic() - self._asked > _AGAIN:
            self._configuration.authentication_settings = self._settings
            if not self._client.force_refresh_auth_token() and self._configuration.authentication_settings is not None:
                failed = self._connection.failure  # the client doesn't report what went wrong
                if isinstance(failed, Unreachable):
                    raise failed
                text = "Conductor issues no token for CONDUCTOR_AUTH_KEY and CONDUCTOR_AUTH_SECRET"
                raise NotNow(f"{text} ({failed})", failed.status if failed else 0)
            self._asked = time.monotonic()


class _Connection:
    """What the client sends its requests for tokens by: as ours are sent, since its own transport repeats some."""

    def __init__(self, send: Callable[[str, str, Any], Response], url: str):
        self._send, self._url = send, url
        self.failure: ConductorError | None = None
        """Why the last request failed; None if it didn't."""

    def request(self, method: str, url: str, *, content: str, **_: Any) -> Response:
        """As of an `httpx.Client`. Raises as `send` does."""
        self.failure = None
        path = url.removeprefix(self._url)
        try:
            answer = self._send(method, path, content)
        except ConductorError as error:
            self.failure = error
            raise
        if not answer.is_success:
            self.failure = answered(answer, f"{method} {path}")
        return answer
