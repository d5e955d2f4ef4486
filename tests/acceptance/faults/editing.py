"""A proxy between the worker and Conductor that edits answers, to stand in for a server that gives others."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from testkit import PATIENCE


class EditingProxy:
    """Forwards to the Conductor of that URL."""

    def __init__(self, url: str, instead: Callable[[str], bytes | None] = lambda path: None) -> None:
        """`instead` gives the answer to a path that isn't forwarded at all."""
        parts = urlsplit(url)
        self.indexing = True
        """Whether searches show anything."""
        self.hidden: str | None = None
        """A task that no search shows."""
        self.ended: dict[str, Any] | None = None
        """A task that each search for ended ones shows too."""
        self.searches_of_ends = 0
        self.starts_to_lose = 0
        """So many starts are carried out, and their answers get lost."""
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                answer = instead(self.path)
                if answer is not None:
                    self.answer(200, answer)
                    return
                connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE)
                headers = {name: self.headers[name] for name in ("Content-Type", "Accept") if name in self.headers}
                try:
                    connection.request(self.command, self.path, body or None, headers)
                    got = connection.getresponse()
                    status, answer = got.status, got.read()
                    kind = got.headers.get("Content-Type", "application/json")
                except OSError:
                    status, answer, kind = 502, b"{}", "application/json"
                finally:
                    connection.close()
                if proxy.starts_to_lose and (self.command, self.path) == ("POST", "/api/workflow"):
                    proxy.starts_to_lose -= 1
                    self.close_connection = True
                    return
                self.answer(status, proxy._edited(self.path, answer), kind)

            def answer(self, status: int, body: bytes, kind: str = "application/json") -> None:
                with contextlib.suppress(OSError):
                    self.send_response(status)
                    self.send_header("Content-Type", kind)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_DELETE = forward

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """A worker that stops breaks its connections."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/api"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
        self._thread.start()

    def _edited(self, path: str, answer: bytes) -> bytes:
        if not path.startswith("/api/tasks/search"):
            return answer
        if not self.indexing:
            return b'{"totalHits": 0, "results": []}'
        if self.hidden is not None and self.hidden.encode() in answer:
            found = json.loads(answer)
            found["results"] = [task for task in found["results"] if task["taskId"] != self.hidden]
            answer = json.dumps(found).encode()
        if "endTime%3E" in path:
            self.searches_of_ends += 1
            if self.ended is not None:
                found = json.loads(answer)
                found["results"] = [self.ended, *found["results"]]
                return json.dumps(found).encode()
        return answer

    def stop(self) -> None:
        """Answers nothing any more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
