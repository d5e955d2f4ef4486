"""Conductor's own client, which makes every call, and what the bridge adds to each: limits, a
token, what a failure means."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from copy import copy
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

from conductor.client.configuration.configuration import Configuration
from conductor.client.http.api.metadata_resource_api import MetadataResourceApi
from conductor.client.http.api.task_resource_api import TaskResourceApi
from conductor.client.http.api.workflow_resource_api import WorkflowResourceApi
from conductor.client.http.api_client import ApiClient
from conductor.client.http.rest import ApiException
from urllib3.util import parse_url

from store.clock import ServerClock, SteadyClock
from store.sql.database import Clock
from worker.conductor.connections import Call, current, of_user
from worker.conductor.errors import ConductorError, OutcomeUnknown, answered
from worker.conductor.server import Server
from worker.conductor.tokens import Tokens
from worker.conductor.transport import Transport

LARGEST_ANSWER = 64 * 1024**2
"""Bytes of an answer that are read at most. Conductor returns up to 10 MB of payload inline."""


class Api:
    """Conductor's own client for one server, for any number of threads."""

    def __init__(self, server: Server, timeout: float, clock: Clock | SteadyClock):
        self.timeout = timeout
        self.clock = clock
        self.server_clock = ServerClock()
        self._patience = timeout
        client = _client_of(server)
        self._tokens = Tokens(client, server)
        self.tasks = TaskResourceApi(client)
        self.workflows = WorkflowResourceApi(client)
        self.metadata = MetadataResourceApi(client)
        self.call_api = partial(client.call_api, _return_http_data_only=True)
        """For what the classes above have no method for, or a wrong one."""

    def within(self, seconds: float) -> Api:
        """The same, with calls that wait only this long for an answer."""
        impatient = copy(self)
        impatient._patience = min(self.timeout, seconds)
        return impatient

    def call(
        self,
        method: Callable[..., Any],
        *arguments: Any,
        not_after: float = float("inf"),
        largest: int | None = None,
        **parameters: Any,
    ) -> Any:
        """Calls a method of the client, and returns the answer as plain values. A failed call
        raises a ConductorError of the right kind.

        Its request leaves before `not_after` (`time.monotonic`), or not at all: then NotNow is
        raised. `largest`: bytes that the answer may have, if fewer than usual; beyond it Garbled is
        raised.
        """
        sent = self.clock.now()
        ends = time.monotonic() + self._patience
        current.set(Call(not_after, self._patience, ends, largest or LARGEST_ANSWER))
        try:
            self._tokens.ensure()
            answer = method(*arguments, **parameters, _preload_content=False)
        except ConductorError:
            raise
        except Exception as error:  # a bug here or in a library, or an answer that it can't read
            raise OutcomeUnknown(f"{type(error).__name__}: {error}") from error
        self._observe_date(answer.headers, sent)
        if answer.headers.get("content-type", "").startswith("text/plain"):  # an id
            return answer.data
        try:
            return json.loads(answer.data)
        except (ValueError, RecursionError):  # an id all the same
            return answer.data

    def _observe_date(self, headers: Mapping[str, str], sent: float) -> None:
        """A rough bound on the clocks' offset, from any answer: for servers whose tasks are never
        polled."""
        with suppress(TypeError, ValueError):  # no date, or none that can be read
            seconds = parsedate_to_datetime(headers.get("date", "")).timestamp()
            # Whole seconds, in a header that servers update once a second.
            self.server_clock.observe(seconds * 1000, sent, self.clock.now(), precision=2000)


class _Client(ApiClient):  # type: ignore[misc]
    def call_api(self, resource_path: str, method: str, *arguments: Any, **more: Any) -> Any:
        """As the client's. An answer that isn't 2xx raises a ConductorError of the right kind,
        instead of its own."""
        try:
            return super().call_api(resource_path, method, *arguments, **more)
        except ApiException as error:
            call = f"{method} {resource_path}"
            raise answered(error.status, error.reason, error.body, call) from error


def _client_of(server: Server) -> ApiClient:
    # A slash at its end would be doubled, and a user's escaped characters would be sent as they
    # are.
    url = parse_url(server.url.rstrip("/"))._replace(auth=None).url
    configuration = Configuration(server_api_url=url)
    # With a key, which it also finds in the environment, the constructor below would ask for a
    # token at once.
    configuration.authentication_settings = None
    configuration.http_connection = transport = Transport(server)
    # Its failures come as errors, which we log; its loggers begin with the process's number.
    logging.getLogger(Configuration.get_logging_formatted_name("conductor")).setLevel(
        logging.CRITICAL + 1
    )
    client = _Client(configuration)
    client.rest_client = transport
    client.default_headers |= {"User-Agent": "conductor-webhook-bridge", **of_user(server.url)}
    return client
