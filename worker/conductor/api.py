"""One call to Conductor's HTTP API: plain values in, plain values out."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from urllib3.util import parse_url

from store.clock import ServerClock, SteadyClock
from store.protocols import Clock
from worker.conductor.bounds import Bounds
from worker.conductor.errors import ConductorError, OutcomeUnknown, answered
from worker.conductor.transport import Declined, Response, Transport, of_user, tls_context

if TYPE_CHECKING:
    from worker.conductor.tokens import Tokens

_JSON_BEGINS = ("", "[", "{", '"')
_HEADERS = {"Accept": "*/*", "Content-Type": "application/json", "Accept-Encoding": "gzip"}


class Api:
    """Calls one server, from any number of threads. A failed call raises a ConductorError of the right kind."""

    def __init__(self, url: str, bounds: Bounds, key: str | None, secret: str | None, clock: Clock | SteadyClock):
        self.bounds = bounds
        self.clock = clock
        self.server_clock = ServerClock()
        self._url = url.rstrip("/")
        self._tokens = _tokens(self._url, key, secret) if key and secret else None
        # One transport per thread: calls share no lock, and a broken connection affects only its own thread.
        self._transports = threading.local()

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
        # Not with Conductor's client: its models cost three times the CPU time, it drops `timeout=0`, wraps outputs,
        # and copies every value of a large body while all other threads stand still.
        sent = self.clock.now()
        try:
            transport = self._transport()
            transport.limit(not_after, patience, largest)
            target = self._path + path
            for name, value in (parameters or {}).items():
                target = target.replace(f"{{{name}}}", quote(value, safe=""))
            if query:
                target += "?" + urlencode(query)
            try:
                answer = self._send(transport, method, target, body)
            except Declined as error:
                if self._tokens is None or not self._tokens.renewed(error, transport):
                    raise
                answer = self._send(transport, method, target, body)
        except Declined as error:
            found = error.answer
            raise answered(found.status_code, found.reason_phrase, found.text, f"{method} {path}") from error
        except ConductorError:
            raise
        except Exception as error:  # a bug here or in the client, or an answer that it can't read
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
        return parse_url(self._url).path or ""

    @cached_property
    def _tls(self) -> ssl.SSLContext | None:
        return tls_context() if self._url[:6].lower() == "https:" else None

    @cached_property
    def _headers(self) -> dict[str, str]:
        """What every request carries."""
        return _HEADERS | of_user(self._url)

    def _transport(self) -> Transport:
        """This thread's."""
        transport: Transport | None = getattr(self._transports, "transport", None)
        if transport is None:
            transport = self._transports.transport = Transport(self._url, self.bounds, self._tls)
        return transport

    def _send(self, transport: Transport, method: str, target: str, body: Any) -> Response:
        headers = self._headers if self._tokens is None else self._headers | self._tokens.headers(transport)
        return transport.send(method, target, headers, body)

    def _observe_date(self, headers: Mapping[str, str], sent: float) -> None:
        """A rough bound on the clocks' offset, from any answer: for servers whose tasks are never polled."""
        if (seconds := _seconds(headers.get("date"))) is not None:
            # Whole seconds, in a header that servers update once a second.
            self.server_clock.observe(seconds * 1000, sent, self.clock.now(), precision=2000)


def _tokens(url: str, key: str, secret: str) -> Tokens:
    from worker.conductor.tokens import Tokens

    return Tokens(url, key, secret)


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
