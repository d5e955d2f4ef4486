"""HTTP proxies between the worker and Conductor that break calls in the ways in which networks and
servers do."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections import Counter
from collections.abc import Callable
from typing import Literal
from urllib.parse import urlsplit

from tools.servers import PATIENCE
from tools.servers.http_server import Handler, HttpServer

Fault = Literal[
    "drop before",  # the connection closes, and Conductor sees nothing
    "drop after",  # Conductor acts, the answer gets lost
    "break off",  # half of the answer comes
    "late",  # the connection closes, and Conductor acts a moment later
    "hang",  # Conductor acts, the answer comes after the call's time-out
    "500 before",
    "500 after",
    "503",
    "429",
    "404",  # of somebody who isn't Conductor
    "nonsense",  # likewise, with 200
]
FAULTS: tuple[Fault, ...] = Fault.__args__  # type: ignore[attr-defined]
Decide = Callable[[str, str], Fault | None]
"""What happens to a request, by method and path."""


def port_of(url: str) -> int:
    """The port of a server on this machine."""
    port = urlsplit(url).port
    assert port is not None
    return port


class Exchange(Handler):
    """One connection of a proxy's: requests that are forwarded, answered, or neither."""

    proxy: HttpProxy

    def handle_request(self) -> None:
        """Has the proxy answer one request."""
        self.proxy.answer(self, self.read_body())

    def forward(self, body: bytes) -> tuple[int, bytes, str]:
        """What the server says: status, body, and the body's kind."""
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy.to, timeout=PATIENCE)
        headers = {
            name: self.headers[name] for name in ("Content-Type", "Accept") if name in self.headers
        }
        try:
            connection.request(self.command, self.path, body or None, headers)
            got = connection.getresponse()
            return got.status, got.read(), got.headers.get("Content-Type", "application/json")
        except OSError:
            return 502, b"{}", "application/json"
        finally:
            connection.close()

    def say(self, status: int, body: bytes, kind: str = "application/json", cut: int = 0) -> None:
        """Answers, without the last bytes if so many are `cut`."""
        with contextlib.suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) - cut])

    def hang_up(self) -> None:
        """Closes the connection."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)

    do_GET = do_POST = do_PUT = do_DELETE = handle_request


class HttpProxy:
    """Forwards to a server on this machine; what it does to each request is its subclass's to say."""

    def __init__(self, to: int) -> None:
        """`to` is the server's port."""
        self.to = to
        self.counts: Counter[str] = Counter()
        self.stopping = threading.Event()
        proxy = self

        class Ours(Exchange):
            pass

        Ours.proxy = proxy
        self._server = HttpServer(Ours)
        self.url = f"{self._server.url}/api"

    def answer(self, exchange: Exchange, body: bytes) -> None:
        """Answers one request, or doesn't."""
        exchange.say(*exchange.forward(body))

    def stop(self) -> None:
        """Answers nothing any more."""
        self.stopping.set()
        self._server.stop()


class FaultyProxy(HttpProxy):
    """Breaks any call, whatever it is about."""

    def __init__(
        self,
        to: int,
        decide: Decide = lambda method, path: None,
        late: float = 0,
        hang: float = 0,
        instead: Callable[[str], bytes | None] = lambda path: None,
    ) -> None:
        """`to` is the server's port; a late call acts after `late` seconds, a hanging one answers
        after `hang`. `instead` gives the answer to a path that isn't forwarded at all."""
        self.decide = decide
        self._instead = instead
        self._late = late
        self._hang = hang
        super().__init__(to)

    def answer(self, exchange: Exchange, body: bytes) -> None:
        """Answers one request as `decide` says."""
        instead = self._instead(exchange.path)
        if instead is not None:
            exchange.say(200, instead)
            return
        fault = self.decide(exchange.command, exchange.path)
        if fault:
            self.counts[fault] += 1
        if fault in ("drop before", "late"):
            exchange.close_connection = True
            exchange.hang_up()
            if fault == "late":
                self.stopping.wait(self._late)
                exchange.forward(body)
            return
        if fault in ("500 before", "503", "429"):
            exchange.say(int(fault[:3]), b'{"message": "the proxy says so"}')
            return
        if fault == "404":
            exchange.say(404, b"<html>nothing here</html>", "text/html")
            return
        if fault == "nonsense":
            exchange.say(200, b"<html>welcome</html>", "text/html")
            return
        status, answer, kind = exchange.forward(body)
        if fault == "drop after":
            exchange.hang_up()
        elif fault == "500 after":
            exchange.say(500, b'{"message": "the proxy says so"}')
        elif fault == "break off":
            exchange.say(status, answer + b" " * 20, kind, cut=20 + len(answer) // 2)
            exchange.hang_up()
        else:
            if fault == "hang":
                self.stopping.wait(self._hang)
            exchange.say(status, answer, kind)
