"""Tokens of a Conductor that has keys, by Conductor's own client. Nothing imports this without a key: the client's
modules are a quarter of a worker's start."""

from __future__ import annotations

import threading
import time
from typing import Any
from urllib.parse import urlencode

from conductor.client.configuration.configuration import Configuration
from conductor.client.configuration.settings.authentication_settings import AuthenticationSettings
from conductor.client.http.api_client import ApiClient
from conductor.client.http.rest import ApiException, AuthorizationException, RESTClientObject, RESTResponse
from urllib3.util import parse_url

from worker.conductor.errors import NotNow, Unreachable
from worker.conductor.transport import Declined, Transport, of_user

_AGAIN = 30.0
"""Seconds until a token is requested again after a failure."""


class Tokens:
    """The token that all threads' calls carry."""

    def __init__(self, url: str, key: str, secret: str):
        self._settings = AuthenticationSettings(key_id=key, key_secret=secret)
        self._configuration = Configuration(server_api_url=url, authentication_settings=self._settings)
        self._asked = float("-inf")
        self._clients = threading.local()

    def headers(self, transport: Transport) -> dict[str, str]:
        """What a call carries; nothing if the server has no tokens. `transport` is the thread's, for asking.

        Raises Unreachable, and NotNow if Conductor gives no token.
        """
        client = self._client(transport)
        if self._configuration.AUTH_TOKEN is None:
            self._ask(client, transport)
        if self._configuration.authentication_settings is None or not (found := client.get_authentication_headers()):
            return {}
        headers: dict[str, str] = found["header"]
        return headers

    def renewed(self, declined: Declined, transport: Transport) -> bool:
        """Whether a call was declined for its token alone, and there is a new one."""
        if declined.answer.status_code not in (401, 403):
            return False
        error = AuthorizationException(http_resp=RESTResponse(declined.answer))
        return (error.token_expired or error.invalid_token) and bool(self._client(transport).force_refresh_auth_token())

    def _client(self, transport: Transport) -> ApiClient:
        """This thread's client."""
        client = getattr(self._clients, "client", None)
        if client is None:
            # Created without credentials: it would otherwise request a token with its own transport and time-outs.
            plain = Configuration(server_api_url=self._configuration.host)
            plain.authentication_settings = None
            # Otherwise it makes connections of its own, never used: that takes longer than many calls, as it reads the
            # certificates of all authorities twice.
            plain.http_connection = transport
            client = self._clients.client = ApiClient(plain)
            client.default_headers |= of_user(self._configuration.host)  # it takes them as they are escaped
            client.configuration = self._configuration
            client.rest_client = _ClientTransport(transport)
        return client

    def _ask(self, client: ApiClient, transport: Transport) -> None:
        """The client itself would give up permanently after a few failures, or after a single 404."""
        if time.monotonic() - self._asked > _AGAIN:
            self._configuration.authentication_settings = self._settings
            if not client.force_refresh_auth_token() and self._configuration.authentication_settings is not None:
                status, failed = transport.last  # the client doesn't report what went wrong
                if isinstance(failed, Unreachable):
                    raise failed
                text = "Conductor issues no token for CONDUCTOR_AUTH_KEY and CONDUCTOR_AUTH_SECRET"
                raise NotNow(f"{text} ({failed or status})", status)
            self._asked = time.monotonic()


class _ClientTransport(RESTClientObject):  # type: ignore[misc]
    """Our transport as the client takes it."""

    def __init__(self, transport: Transport):
        super().__init__(transport)
        self._transport = transport

    def request(
        self,
        method: str,
        url: str,
        query_params: Any = None,
        headers: dict[str, str] | None = None,
        body: Any = None,
        post_params: Any = None,
        _preload_content: bool = True,
        _request_timeout: Any = None,
    ) -> RESTResponse:
        """Sends a request of the client's own. Raises ApiException for a non-2xx answer, and as `send` does."""
        target = parse_url(url).request_uri
        if query_params:
            target += "?" + urlencode(query_params)
        try:
            return RESTResponse(self._transport.send(method, target, headers or {}, body))
        except Declined as error:
            kind = AuthorizationException if error.answer.status_code in (401, 403) else ApiException
            raise kind(http_resp=RESTResponse(error.answer)) from error
