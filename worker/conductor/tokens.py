"""Tokens of a Conductor that has keys, by Conductor's own client. Nothing imports this without a key: the client's
modules are a quarter of a worker's start."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from conductor.client.configuration.configuration import Configuration
from conductor.client.configuration.settings.authentication_settings import AuthenticationSettings
from conductor.client.http.api_client import ApiClient
from conductor.client.http.rest import ApiException, AuthorizationException, RESTClientObject, RESTResponse

from worker.conductor.errors import ConductorError, NotNow, Response, Unreachable, answered

_AGAIN = 30.0
"""Seconds until a token is requested again after a failure."""


class Tokens:
    """The token that all threads' calls carry."""

    def __init__(self, send: Callable[[str, str, Any], Response], url: str, key: str, secret: str):
        """`send` sends a request of the current call: method, path below the API's, and body."""
        self._settings = AuthenticationSettings(key_id=key, key_secret=secret)
        self._requests = _Requests(send, url)
        self._configuration = Configuration(server_api_url=url)
        # Created without credentials and connections: it would otherwise request a token at once, and by its own ones.
        self._configuration.authentication_settings = None
        self._configuration.http_connection = send
        self._client = ApiClient(self._configuration)
        self._client.rest_client = self._requests
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
                failed = self._requests.failure  # the client doesn't report what went wrong
                if isinstance(failed, Unreachable):
                    raise failed
                text = "Conductor issues no token for CONDUCTOR_AUTH_KEY and CONDUCTOR_AUTH_SECRET"
                raise NotNow(f"{text} ({failed})", failed.status if failed else 0)
            self._asked = time.monotonic()


class _Requests(RESTClientObject):  # type: ignore[misc]
    """The client's requests for tokens, sent as ours are: its own transport repeats some."""

    def __init__(self, send: Callable[[str, str, Any], Response], url: str):
        super().__init__(send)
        self._send, self._url = send, url
        self.failure: ConductorError | None = None
        """Why the last request failed; None if it didn't."""

    def request(self, method: str, url: str, *_: Any, body: Any = None, **__: Any) -> RESTResponse:
        """Sends a request of the client's own. Raises ApiException for a non-2xx answer, and as `send` does."""
        self.failure = None
        path = url.removeprefix(self._url)
        try:
            answer = self._send(method, path, body)
        except ConductorError as error:
            self.failure = error
            raise
        if not answer.is_success:
            self.failure = answered(answer, f"{method} {path}")
            kind = AuthorizationException if answer.status_code in (401, 403) else ApiException
            raise kind(http_resp=RESTResponse(answer))
        return RESTResponse(answer)
