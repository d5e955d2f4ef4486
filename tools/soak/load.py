"""Senders at a fixed rate, and what each accepted delivery must have done.

Of five events one resumes a workflow that waits for it, one starts a workflow, and three have a key
of which only the first event starts one. Each is sent again, under the same delivery id, until a
relay has answered 200, as platforms do.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tools.demo import signing
from tools.servers.client import Conductor, RequestFailed, http, set_variable, wait_for_webhook

SECRET = "It's a Secret to Everybody"
SENDERS = 25
GROUP = 10
"""Events that share a key."""


def definitions(run: str) -> str:
    """The webhooks for a load whose workflows carry this label."""
    return f"""webhooks:
  - name: resumes
    platform: github
    secret: ${{GITHUB_SECRET}}
    receivers: {{soak_resumed_{run}: any}}
  - name: starts
    platform: github
    secret: ${{GITHUB_SECRET}}
    starts: [{{workflow: soak_started_{run}}}]
  - name: once
    platform: github
    secret: ${{GITHUB_SECRET}}
    starts:
      - workflow: soak_once_{run}
        once: {{key: $.key, while: kept}}
"""


@dataclass
class Account:
    """What was accepted."""

    resumed: dict[str, str] = field(default_factory=dict)
    """Correlation id of the workflow that waits → the event that must resume it."""
    started: list[str] = field(default_factory=list)
    """Events that must start a workflow each."""
    groups: dict[str, list[str]] = field(default_factory=dict)
    """Key → the events of which exactly one must start a workflow."""
    sent_again: int = 0
    not_begun: int = 0
    """Workflows that Conductor didn't start while it was away."""

    @property
    def accepted(self) -> int:
        """How many events."""
        return len(self.resumed) + len(self.started) + sum(map(len, self.groups.values()))


class Load:
    """Sends until it is stopped."""

    def __init__(self, conductor: Conductor, relays: Sequence[str], run: str, rate: float) -> None:
        """`relays` are their URLs, each of which gets its share; `rate` is in events a second."""
        self.account = Account()
        self.run = run
        self._conductor = conductor
        self._relays = itertools.cycle(relays)
        self._period = SENDERS / rate
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._send_all) for _ in range(SENDERS)]

    def register(self) -> None:
        """Makes the workflows known."""
        wait = wait_for_webhook("wait", {"$.to": "${workflow.input.key}"})
        event = {"eventId": "${wait.output._webhook.eventId}"}
        self._conductor.register(f"soak_resumed_{self.run}", [wait], outputParameters=event)
        self._conductor.register(f"soak_started_{self.run}", [set_variable()])
        self._conductor.register(f"soak_once_{self.run}", [set_variable()])

    def start(self) -> None:
        """Starts the senders."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Returns once each sender's last delivery is accepted."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _send_all(self) -> None:
        next_ = time.monotonic()
        for number in itertools.count():
            if self._stopping.is_set():
                return
            if number % 5 == 0:
                self._resume()
            elif number % 5 == 1:
                self._start()
            else:
                self._once(number)
            next_ = max(next_ + self._period, time.monotonic())
            self._stopping.wait(next_ - time.monotonic())

    def _resume(self) -> None:
        key = uuid.uuid4().hex
        name = f"soak_resumed_{self.run}"
        body = {"name": name, "correlationId": key, "input": {"key": key}}
        try:
            self._conductor.call("POST", "/workflow", body)
        except RequestFailed:
            with self._lock:
                self.account.not_begun += 1
            return
        event = self._post("resumes", {"to": key})
        with self._lock:
            self.account.resumed[key] = event

    def _start(self) -> None:
        event = self._post("starts", {})
        with self._lock:
            self.account.started.append(event)

    def _once(self, number: int) -> None:
        key = f"{threading.get_ident()}-{number // GROUP}"
        event = self._post("once", {"key": key})
        with self._lock:
            self.account.groups.setdefault(key, []).append(event)

    def _post(self, webhook: str, payload: dict[str, Any]) -> str:
        """Posts until it is accepted; the event's id."""
        delivery = str(uuid.uuid4())
        body = json.dumps({**payload, "sent": delivery}).encode()
        headers = signing.github(SECRET, body, delivery, "push")
        while True:
            with self._lock:
                relay = next(self._relays)
            try:
                answer = http("POST", f"{relay}/webhook/{webhook}", body, headers, timeout=30)
                if answer.status == 200:
                    return str(answer.json["eventId"])
            except (RequestFailed, ValueError):
                pass
            with self._lock:
                self.account.sent_again += 1
            time.sleep(0.5)
