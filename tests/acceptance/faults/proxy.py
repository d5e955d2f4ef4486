"""An HTTP proxy between the worker and Conductor that breaks calls in the ways in which networks and servers do."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

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


class FaultyProxy:
    """Forwards to a Conductor server on this machine."""

    def __init__(self, to: int, decide: Decide, late: float, hang: float) -> None:
        """`to` is the server's port; a late call acts after `late` seconds, a hanging one answers after `hang`."""
        self.decide = decide
        self.counts: Counter[str] = Counter()
        self._stopping = threading.Event()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_request(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                fault = proxy.decide(self.command, self.path)
                if fault:
                    proxy.counts[fault] += 1
                if fault in ("drop before", "late"):
                    self.close_connection = True
                    self.hang_up()
                    if fault == "late":
                        proxy._stopping.wait(late)
                        self.forward(body)
                    return
                if fault in ("500 before", "503", "429"):
                    self.answer(int(fault[:3]), b'{"message": "the proxy says so"}')
                    return
                if fault == "404":
                    self.answer(404, b"<html>nothing here</html>", "text/html")
                    return
                if fault == "nonsense":
                    self.answer(200, b"<html>welcome</html>", "text/html")
                    return
                status, answer, kind = self.forward(body)
                if fault == "drop after":
                    self.hang_up()
                elif fault == "500 after":
                    self.answer(500, b'{"message": "the proxy says so"}')
                elif fault == "break off":
                    self.answer(status, answer + b" " * 20, kind, cut=20 + len(answer) // 2)
                    self.hang_up()
                else:
                    if fault == "hang":
                        proxy._stopping.wait(hang)
                    self.answer(status, answer, kind)

            def forward(self, body: bytes) -> tuple[int, bytes, str]:
                connection = http.client.HTTPConnection("127.0.0.1", to, timeout=60)
                headers = {name: self.headers[name] for name in ("Content-Type", "Accept") if name in self.headers}
                try:
                    connection.request(self.command, self.path, body or None, headers)
                    got = connection.getresponse()
                    return got.status, got.read(), got.headers.get("Content-Type", "application/json")
                except OSError:
                    return 502, b"{}", "application/json"
                finally:
                    connection.close()

            def answer(self, status: int, body: bytes, kind: str = "application/json", cut: int = 0) -> None:
                with contextlib.suppress(OSError):
                    self.send_response(status)
                    self.send_header("Content-Type", kind)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body[: len(body) - cut])

            def hang_up(self) -> None:
                self.close_connection = True
                with contextlib.suppress(OSError):
                    self.wfile.flush()
                    self.connection.shutdown(socket.SHUT_RDWR)

            do_GET = do_POST = do_PUT = do_DELETE = handle_request

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """Connections that break are what this is for."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/api"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Answers nothing any more."""
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
