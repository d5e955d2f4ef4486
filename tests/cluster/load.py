"""Platforms that send without a pause, and Conductor's own word on what became of it."""

from __future__ import annotations

import threading
import time
import uuid
from typing import Any
from urllib.parse import quote

from tools.demo import sample, signing
from tools.servers import PATIENCE
from tools.servers.client import (
    Conductor,
    RequestFailed,
    http,
    set_variable,
    wait_for,
    wait_for_webhook,
)

SLACK_SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
SENDERS = 3
PAUSE = 0.3
"""Seconds between a sender's deliveries: the cluster and Conductor share the machine's processors.
"""


class Load:
    """Each delivery resumes one workflow and starts another. What isn't answered 200 is sent again,
    as platforms do."""

    def __init__(self, url: str, conductor: Conductor, secret: str) -> None:
        """Registers both workflows. Nothing is sent before it is entered."""
        run = uuid.uuid4().hex[:8]
        self.url = url
        self.secret = secret
        self.resumed, self.started = f"cluster_resumed_{run}", f"cluster_started_{run}"
        self.failures: list[str] = []
        """Of the deliveries since it was entered that weren't accepted at the first attempt: time
        and reason."""
        self._conductor = conductor
        self._accepted: dict[str, str] = {}
        """Of the deliveries that weren't checked yet, the event ids by their texts."""
        self._sent: set[str] = set()
        self._checked = 0
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        waits = wait_for_webhook("wait", {"$.event.text": "${workflow.input.text}"})
        conductor.register(
            self.resumed, [waits], outputParameters={"text": "${wait.output.event.text}"}
        )
        conductor.register(self.started, [set_variable(done=True)])

    def definitions(self, secret: str) -> str:
        """The webhook; `secret` as YAML: a reference, or a list of them."""
        return (
            f"webhooks:\n  - name: slack\n    platform: slack\n    secret: {secret}\n"
            f"    receivers: {{{self.resumed}: any}}\n    starts: [{{workflow: {self.started}}}]\n"
        )

    def __enter__(self) -> Load:
        self._stopping.clear()
        self.failures = []
        self._threads = [threading.Thread(target=self._send_all) for _ in range(SENDERS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        if error == (None, None, None):
            self.check()

    def more(self, count: int = 10) -> None:
        """Returns once so many further deliveries are accepted."""
        before = len(self._accepted)
        wait_for(
            lambda: len(self._accepted) >= before + count,
            f"{count} deliveries more; {self.failures[-3:]}",
        )

    def is_known(self, secret: str) -> bool:
        """Whether the relays take what is signed with another secret: all of them, as far as twenty
        requests tell."""
        body = sample.challenge("known")
        headers = [signing.slack(secret, body) for _ in range(20)]
        return all(
            http("POST", f"{self.url}/webhook/slack", body, signed).status == 200
            for signed in headers
        )

    def check(self) -> None:
        """Asserts that Conductor shows each accepted delivery's effects, both of them, each once."""
        accepted, self._accepted = self._accepted, {}
        assert accepted
        assert self._sent == set(accepted), f"never accepted; {self.failures[-3:]}"
        self._sent = set()
        try:
            wait_for(
                lambda: all(self._resumed(accepted).values()),
                "each accepted event has resumed its workflow",
            )
        except TimeoutError as error:
            raise AssertionError(self._left(accepted)) from error
        wait_for(
            lambda: all(self._started(accepted).values()),
            "each accepted event has started its workflow",
        )
        assert set(self._started(accepted).values()) == {1}
        # Of a delivery that was taken as two events too.
        self._checked += len(accepted)
        wait_for(lambda: self._total() >= self._checked, "all of them are in the index")
        assert self._total() == self._checked

    def _resumed(self, accepted: dict[str, str]) -> dict[str, bool]:
        """Of each delivery's text, whether the workflow that waited for it has ended with it."""
        found = self._correlated(self.resumed, list(accepted))
        return {
            text: [each.get("output") for each in found.get(text, [])] == [{"text": text}]
            for text in accepted
        }

    def _left(self, accepted: dict[str, str]) -> str:
        """The events that haven't resumed their workflows, and what Conductor shows of those."""
        left = [text for text, is_done in self._resumed(accepted).items() if not is_done]
        found, lines = self._correlated(self.resumed, left), []
        for text in left:
            shown = [self._conductor.workflow(one["workflowId"]) for one in found.get(text, [])]
            tasks = [
                (one["workflowId"], one["status"], task["taskId"], task["status"])
                for one in shown
                for task in one["tasks"]
            ]
            lines.append(f"{accepted[text]}: {[one['workflowId'] for one in shown]}, tasks {tasks}")
        return "events that haven't resumed their workflows:\n" + "\n".join(lines)

    def _started(self, accepted: dict[str, str]) -> dict[str, int]:
        """Of each delivery's text, how many workflows its event has started."""
        found = self._correlated(self.started, list(accepted.values()))
        return {text: len(found.get(event_id, [])) for text, event_id in accepted.items()}

    def _correlated(self, workflow: str, ids: list[str]) -> dict[str, list[dict[str, Any]]]:
        path = f"/workflow/{workflow}/correlated?includeClosed=true&includeTasks=false"
        found: dict[str, list[dict[str, Any]]] = {}
        for first in range(0, len(ids), 100):
            found |= self._conductor.call("POST", path, ids[first : first + 100])
        return found

    def _total(self) -> int:
        query = quote(f"workflowType='{self.started}'")
        return int(
            self._conductor.call("GET", f"/workflow/search?query={query}&size=1")["totalHits"]
        )

    def _send_all(self) -> None:
        while not self._stopping.is_set():
            text = uuid.uuid4().hex
            try:
                self._conductor.start(self.resumed, correlation_id=text, text=text)
            except RequestFailed:  # Conductor's own database may be locked on a busy machine
                self._stopping.wait(PAUSE)
                continue
            self._sent.add(text)
            body = sample.message(text)
            deadline = time.monotonic() + PATIENCE
            while text not in self._accepted and time.monotonic() < deadline:
                self._send(text, body)
            self._stopping.wait(PAUSE)

    def _send(self, text: str, body: bytes) -> None:
        try:
            answer = http(
                "POST",
                f"{self.url}/webhook/slack",
                body,
                signing.slack(self.secret, body),
                timeout=10,
            )
            reason = f"{answer.status} {answer.text}"
            if answer.status == 200:
                self._accepted[text] = answer.json["eventId"]
                return
        except RequestFailed as error:
            reason = str(error)
        self.failures.append(f"{time.strftime('%X')} {reason}")
        self._stopping.wait(PAUSE)
