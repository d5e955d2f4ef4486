"""Servers that stand in for others: HTTP on a free port of the loopback interface."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """What requests are answered with is its subclass's to say, in methods such as `do_GET`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = (
        True  # or each body would wait 40 ms until the head's arrival is confirmed
    )

    @property
    def lower_headers(self) -> dict[str, str]:
        """The request's headers by their lower-case names."""
        return {name.lower(): value for name, value in self.headers.items()}

    def read_body(self) -> bytes:
        """The request's body, as far as it came."""
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def say(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        """The answer."""
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


class HttpServer(ThreadingHTTPServer):
    """Serves until it is stopped."""

    daemon_threads = True
    request_queue_size = 128  # a burst of connections isn't refused
    block_on_close = False  # some answer only when a test ends

    def __init__(self, handler: type[Handler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Takes no more requests."""
        self.shutdown()
        self._thread.join()
        self.server_close()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def handle_error(self, request: object, client_address: object) -> None:
        """Who asks may hang up."""
