"""One call to Conductor's HTTP API: plain values in, plain values out."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from functools import cached_property, lru_cache
from typing import Any
from urllib.parse import quote, urlencode

from conductor.client.configuration.configuration import Configuration
from conductor.client.configuration.settings.authentication_settings import AuthenticationSettings
from conductor.client.http.api_client import ApiClient
from conductor.client.http.rest import ApiException, AuthorizationException
from urllib3.util import parse_url

from store.clock import ServerClock, SteadyClock
from store.protocols import Clock
from worker.conductor.bounds import Bounds
from worker.conductor.errors import ConductorError, NotNow, OutcomeUnknown, Unreachable, answered
from worker.conductor.transport import Response, Transport, tls_context

_TOKEN_AGAIN = 30.0
"""Seconds until a token is requested again after a failure."""
_JSON_BEGINS = ("", "[", "{", '"')
_HEADERS = {"Accept": "*/*", "Content-Type": "application/json"}


class Api:
    """Calls one server, from any number of threads. A failed call raises a ConductorError of the right kind."""

    def __init__(self, url: str, bounds: Bounds, key: str | None, secret: str | None, clock: Clock | SteadyClock):
        self.bounds = bounds
        self.clock = clock
        self.server_clock = ServerClock()
        self._authentication = AuthenticationSettings(key_id=key, key_secret=secret) if key and secret else None
        self._configuration = Configuration(
            server_api_url=url.rstrip("/"), authentication_settings=self._authentication
        )
        self._token_asked = float("-inf")
        # One client per thread: calls share no lock, and a broken connection affects only its own thread.
        self._clients = threading.local()

    def call(
        self,
        method: str,
        path: str,
        parameters: dict[str, str] | None = None,
        query: Sequence[tuple[str, Any]] = (),
        body: Any = None,
        *,
        not_after: float = float("inf"),
        patience: float = float("inf"),
        headers: dict[str, str] | None = None,
        largest: int | None = None,
    ) -> Any:
        """The answer. The request leaves before `not_after` (`time.monotonic`), or not at all: then NotNow is raised.

        `patience`: seconds to wait for the answer, if less than the time-out. `largest`: bytes that the answer may
        have, if fewer than usual; beyond it Garbled is raised. A `body` that is a string is JSON
        already. `headers` receives the answer's headers, with lower-case names.
        """
        # Not with the client's own methods: its models cost three times the CPU time, it drops `timeout=0`, wraps
        # outputs, and copies every value of a large body while all other threads stand still.
        sent = self.clock.now()
        try:
            client = self._client(not_after, patience, largest)
            target = self._path + path
            for name, value in (parameters or {}).items():
                target = target.replace(f"{{{name}}}", quote(value, safe=""))
            if query:
                target += "?" + urlencode(query)
            try:
                answer = _send(client, method, target, body)
            except AuthorizationException as error:
                if not (error.token_expired or error.invalid_token) or not client.force_refresh_auth_token():
                    raise
                answer = _send(client, method, target, body)
        except ApiException as error:
            raise answered(error.status or 0, str(error.reason or ""), error.body, f"{method} {path}") from error
        except ConductorError:
            raise
        except Exception as error:  # a bug in the client, or an answer that it can't read
            raise OutcomeUnknown(f"{type(error).__name__}: {error}") from error
        self._observe_date(answer.headers, sent)
        if headers is not None:
            headers.update((name.lower(), value) for name, value in answer.headers.items())
        try:
            return answer.text if _is_id(answer) else json.loads(answer.text)
        except (ValueError, RecursionError):  # an id all the same
            return answer.text

    @cached_property
    def _path(self) -> str:
        return parse_url(self._configuration.host).path or ""

    @cached_property
    def _tls(self) -> ssl.SSLContext | None:
        return tls_context() if self._configuration.host[:6].lower() == "https:" else None

    def _client(self, not_after: float, patience: float, largest: int | None) -> ApiClient:
        """This thread's client, whose requests respect these limits."""
        client = getattr(self._clients, "client", None)
        if client is None:
            # Created without credentials: it would otherwise request a token with its own transport and time-outs.
            plain = Configuration(server_api_url=self._configuration.host)
            plain.authentication_settings = None
            transport = Transport(self._configuration.host, self.bounds, self._tls)
            # Otherwise it makes connections of its own, never used: that takes longer than many calls, as it reads the
            # certificates of all authorities twice.
            plain.http_connection = transport.connection
            client = self._clients.client = ApiClient(plain)
            client.configuration = self._configuration
            client.rest_client = transport
        client.rest_client.limit(not_after, patience, largest)
        if self._authentication and self._configuration.AUTH_TOKEN is None:
            self._ask_for_token(client)
        return client

    def _ask_for_token(self, client: ApiClient) -> None:
        """The client itself would give up permanently after a few failures, or after a single 404."""
        if time.monotonic() - self._token_asked > _TOKEN_AGAIN:
            self._configuration.authentication_settings = self._authentication
            if not client.force_refresh_auth_token() and self._configuration.authentication_settings is not None:
                status, failed = client.rest_client.last  # the client doesn't report what went wrong
                if isinstance(failed, Unreachable):
                    raise failed
                text = "Conductor issues no token for CONDUCTOR_AUTH_KEY and CONDUCTOR_AUTH_SECRET"
                raise NotNow(f"{text} ({failed or status})", status)
            self._token_asked = time.monotonic()

    def _observe_date(self, headers: Mapping[str, str], sent: float) -> None:
        """A rough bound on the clocks' offset, from any answer: for servers whose tasks are never polled."""
        if (seconds := _seconds(headers.get("date"))) is not None:
            # Whole seconds, in a header that servers update once a second.
            self.server_clock.observe(seconds * 1000, sent, self.clock.now(), precision=2000)


def _send(client: ApiClient, method: str, target: str, body: Any) -> Response:
    headers = _HEADERS | client.default_headers
    if client.configuration.authentication_settings is not None and (auth := client.get_authentication_headers()):
        headers |= auth["header"]
    found: Response = client.rest_client.send(method, target, headers, body)
    return found


def _is_id(answer: Response) -> bool:
    """Whether it is no JSON, but an id as plain text: to find that out by parsing takes a tenth of a call's time."""
    return answer.headers.get("content-type", "").startswith("text/plain") and answer.text[:1] not in _JSON_BEGINS


@lru_cache(maxsize=8)
def _seconds(date: str | None) -> float | None:
    """The Unix time in a header; None if it has none."""
    try:
        return None if date is None else parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError):
        return None
