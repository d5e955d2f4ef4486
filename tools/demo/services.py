"""Plays the services that the workflows of docs/recipes call: `python -m tools.demo.services`
prints each call.

A workflow's `https://HOST/PATH` becomes `http://localhost:PORT/HOST/PATH`.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Flask, Response, request
from werkzeug.serving import WSGIRequestHandler, make_server

from tools.servers.conductor import say

PORT = 8099
"""Where `python -m tools.demo.services` listens."""

ANSWERS: dict[str, tuple[int, Any]] = {
    "accounts.example.com": (201, {"id": "A-1"}),
    "api.github.com": (201, {"number": 7, "html_url": "https://github.com/acme/shop/issues/7"}),
    "assistant.example.com": (200, {"answer": "On Friday."}),
    "hooks.slack.com": (200, "ok"),
    "mail.example.com": (202, {}),
    "slack.com": (200, {"ok": True, "ts": "1700000000.000100"}),
}
"""What each host answers: status, and JSON value or text."""

SECRETS = {
    name: f"the-secret-{name.lower().replace('_', '-')}"
    for name in (
        "ACCOUNTS_TOKEN",
        "ASSISTANT_TOKEN",
        "GITHUB_TOKEN",
        "SLACK_BOT_TOKEN",
        "SLACK_INCOMING_WEBHOOK",
    )
}
"""What the tests' Conductor knows as `${workflow.secrets.NAME}`."""


@dataclass(frozen=True)
class Call:
    """A request that a service got; `url` has no scheme."""

    url: str
    authorization: str | None
    body: Any


class Services:
    """All services on one port of the loopback interface, until `stop`."""

    def __init__(self, port: int = 0, tell: Callable[[Call], None] = lambda call: None) -> None:
        """Listens on that port, or on any that is free; `tell` is called with each call, on some
        thread."""
        self.calls: list[Call] = []
        self._tell = tell
        app = Flask(__name__)
        app.add_url_rule("/<host>/<path:path>", view_func=self._answer, methods=["POST"])
        self._server = make_server("127.0.0.1", port, app, threaded=True, request_handler=_Quiet)
        self.url = f"http://localhost:{self._server.server_port}"
        """Where the services are, each under its host's name."""
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def _answer(self, host: str, path: str) -> Response:
        call = Call(f"{host}/{path}", request.headers.get("Authorization"), request.get_json())
        self.calls.append(call)
        self._tell(call)
        status, answer = ANSWERS[host]
        text = answer if isinstance(answer, str) else json.dumps(answer)
        return Response(text, status, mimetype="application/json")

    def wait(self) -> None:
        """Returns when they are stopped."""
        self._thread.join()

    def stop(self) -> None:
        """Ends them."""
        self._server.shutdown()
        self._server.server_close()


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *arguments: Any) -> None:
        """Nothing: `tell` says it."""


def main() -> int:
    """Plays the services until Ctrl-C."""
    services = Services(
        PORT,
        lambda call: say(
            f"POST https://{call.url}\n  {json.dumps(call.body, ensure_ascii=False)}\n"
        ),
    )
    say(f"{', '.join(ANSWERS)} are played at {services.url}; Ctrl-C stops them\n")
    try:
        services.wait()
    except KeyboardInterrupt:
        services.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
