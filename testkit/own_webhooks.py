"""A Conductor server with webhooks of its own, stood in for: a server that answers their routes, in front of another.

Read in conductor-oss/conductor, branch feat/webhooks-wait-for-webhook-redo of August 2026 (pull request 1203):
`WebhookConfigResource`, `WebhookConfigService`, `IncomingWebhookResource`, `HeaderBasedVerifier` and `WebhookWorker`.
Left out: verifiers other than HEADER_BASED, and that the task is a system task.
"""

from __future__ import annotations

import json
import threading
import uuid
from typing import Any, Literal

from testkit import PATIENCE
from testkit.client import Conductor, RequestFailed, http
from testkit.http_server import Handler, HttpServer

Fault = Literal["absent", "401", "403", "503", "page", "absent page", "login page", "hangs", "garbage", "no list"]
"""How something else than such a server answers for the list of webhooks; ``absent``: as all releases do."""
_JSON = "application/json"
_PAGE = b"<!doctype html><title>Proxy</title>"
_FAULTS: dict[Fault, tuple[int, str, bytes]] = {
    "absent": (404, _JSON, b'{"status":404,"message":"No static resource api/metadata/webhook.","retryable":false}'),
    "401": (401, _JSON, b'{"message":"Token cannot be null or empty"}'),
    "403": (403, _JSON, b'{"message":"Access denied"}'),
    "503": (503, "text/plain", b"no healthy upstream"),
    "page": (200, "text/html", _PAGE),
    "absent page": (404, "text/html", _PAGE),
    "login page": (403, "text/html", _PAGE),
    "garbage": (200, _JSON, b'[{"name": '),
    "no list": (200, _JSON, b'{"webhooks": []}'),
}


class OwnWebhooks:
    """Answers `/api/metadata/webhook` and `/api/webhook/{id}`, and forwards the rest to the Conductor of that URL."""

    def __init__(self, conductor_url: str | None = None) -> None:
        """Without a Conductor, everything else isn't there."""
        self.fault: Fault | None = None
        self.asked = 0
        """How often the list was asked for."""
        self._webhooks: dict[str, dict[str, Any]] = {}
        self._conductor = Conductor(conductor_url) if conductor_url else None
        self._ends = threading.Event()
        stand_in = self

        class Answering(Handler):
            def handle_it(self) -> None:
                status, kind, answer = stand_in._answer(self.command, self.path, dict(self.headers), self.read_body())
                self.say(status, answer, {"Content-Type": kind})

            do_GET = do_POST = do_PUT = do_DELETE = handle_it

        self._server = HttpServer(Answering)
        self.url = f"{self._server.url}/api"

    def stop(self) -> None:
        """Answers nothing any more."""
        self._ends.set()
        self._server.stop()

    def add(self, **config: Any) -> str:
        """Makes a webhook as a client would; its id."""
        answer = http("POST", f"{self.url}/metadata/webhook", json.dumps(config).encode(), {"Content-Type": _JSON})
        assert answer.status == 200, answer.text
        return str(answer.json["id"])

    # --- the routes ---

    def _answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, str, bytes]:
        path, _, query = path.partition("?")
        if path == "/api/metadata/webhook":
            return self._list() if method == "GET" else self._create(json.loads(body))
        if path.startswith("/api/metadata/webhook/"):
            return self._one(method, path.rpartition("/")[2])
        if path.startswith("/api/webhook/") and method == "POST":
            return self._deliver(path.rpartition("/")[2], headers, body)
        return self._forward(method, f"{path}?{query}" if query else path, body)

    def _list(self) -> tuple[int, str, bytes]:
        self.asked += 1
        if self.fault == "hangs":
            self._ends.wait(PATIENCE)
            raise ConnectionAbortedError
        if self.fault is not None:
            return _FAULTS[self.fault]
        return _json(200, [_masked(config) for config in self._webhooks.values()])

    def _create(self, config: dict[str, Any]) -> tuple[int, str, bytes]:
        if not config.keys() & {"expression", "receiverWorkflowNamesToVersions", "workflowsToStart"}:
            return _error(500, "Either a script expression, receiver workflow or a workflow to start MUST be provided")
        config.setdefault("id", str(uuid.uuid4()))
        if config["id"] in self._webhooks:
            return _error(409, f"Webhook with id {config['id']} already exists")
        self._webhooks[config["id"]] = {**config, "urlVerified": False}
        return _json(200, self._webhooks[config["id"]])

    def _one(self, method: str, id_: str) -> tuple[int, str, bytes]:
        if id_ not in self._webhooks:
            return _error(404, f"Webhook with id {id_} does not exist")
        if method == "DELETE":
            del self._webhooks[id_]
            return 200, _JSON, b""
        return _json(200, _masked(self._webhooks[id_]))

    def _deliver(self, id_: str, headers: dict[str, str], body: bytes) -> tuple[int, str, bytes]:
        config = self._webhooks.get(id_)
        if config is None:
            return _error(404, f"Webhook with id {id_} does not exist")
        if any(headers.get(name) != value for name, value in (config.get("headers") or {}).items()):
            return _error(500, f"Request verification failed for webhookevent '{id_}'")
        config["urlVerified"] = True
        self._take_effect(config, json.loads(body))
        return 200, _JSON, b""

    def _take_effect(self, config: dict[str, Any], payload: dict[str, Any]) -> None:
        """Completes every waiting task whose matches hold, and starts workflows; `matches` of one key, as tests use."""
        conductor = self._conductor
        assert conductor is not None
        for name, version in (config.get("receiverWorkflowNamesToVersions") or {}).items():
            for workflow_id in conductor.call("GET", f"/workflow/running/{name}?version={version}"):
                for task in conductor.workflow(workflow_id)["tasks"]:
                    waits = task["taskType"] == "WAIT_FOR_WEBHOOK" and task["status"] in ("SCHEDULED", "IN_PROGRESS")
                    matches = task["inputData"]["matches"]
                    if waits and all(payload.get(path.removeprefix("$.")) == value for path, value in matches.items()):
                        update = {"taskId": task["taskId"], "workflowInstanceId": workflow_id, "outputData": payload}
                        conductor.call("POST", "/tasks", {**update, "status": "COMPLETED"})
        for name, version in (config.get("workflowsToStart") or {}).items():
            conductor.call("POST", "/workflow", {"name": name, "version": version, "input": payload})

    def _forward(self, method: str, path: str, body: bytes) -> tuple[int, str, bytes]:
        if self._conductor is None:
            return _error(404, f"No static resource {path.lstrip('/')}.")
        url = self._conductor.url.removesuffix("/api") + path
        try:
            answer = http(method, url, body or None, {"Content-Type": _JSON, "Accept": "*/*"})
        except RequestFailed as error:
            return _error(502, str(error))
        return answer.status, answer.headers.get("content-type", _JSON), answer.body


def _masked(config: dict[str, Any]) -> dict[str, Any]:
    return {**config, "secretValue": "***"}


def _json(status: int, value: Any) -> tuple[int, str, bytes]:
    return status, _JSON, json.dumps(value).encode()


def _error(status: int, message: str) -> tuple[int, str, bytes]:
    return _json(status, {"status": status, "message": message, "instance": "stand-in", "retryable": False})
