"""A bridge under test: its real processes, with a store and definitions of its own."""

from __future__ import annotations

import json
import os
import signal
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from flask.testing import FlaskClient

from admin.cli import main
from config.settings import load_settings
from relay.app import create_app
from store.open import open_store
from store.records import Event, EventStatus, Target
from store.sql.event_search import EventFilter
from store.sql.store import Store
from tests.support.postgres_backend import patient_stores
from tools.demo import signing
from tools.servers import PATIENCE
from tools.servers.client import (
    Answer,
    Conductor,
    by_hand,
    http,
    until_stored,
    wait_for,
    wait_for_webhook,
)
from tools.servers.processes import Child, bridge_environment, free_port, start_relay, start_worker

RUN = uuid.uuid4().hex[:6]
GITHUB_SECRET = "It's a Secret to Everybody"
SLACK_SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
API_KEY = "key-of-the-orders-system"

SETTINGS = {
    "bridge_poll_interval": "250ms",
    "bridge_discovery_interval": "1h",
    "bridge_log_format": "json",
    "bridge_relay_metrics": "off",
    "bridge_worker_metrics": "off",
    "github_secret": GITHUB_SECRET,
    "slack_secret": SLACK_SECRET,
    "api_key": API_KEY,
}
"""Environment of every bridge under test, in lower case.

The index is searched at the start only: a test waits as long as a busy machine needs, and what
should come by the queue must not come by the next search instead.
"""


def unique(name: str) -> str:
    """A name that no other run on the same server uses."""
    return f"{name}_{RUN}"


def started_by(conductor: Conductor, name: str, correlation_id: str) -> list[dict[str, Any]]:
    """The workflows of that name with that correlation id, ended ones included, as soon as
    Conductor can know them.

    On Redis it looks for them in its index, which shows them up to a second late.
    """
    if os.environ.get("TEST_CONDUCTOR") == "redis-es":
        time.sleep(2)
    return conductor.started_by(name, correlation_id)


def waiting(
    conductor: Conductor,
    name: str,
    matches: Mapping[str, Any] | None = None,
    gate: bool = False,
    **input_: Any,
) -> str:
    """The id of a new workflow of that name that waits for an event, or at a gate before it does."""
    conductor.register(
        unique(name), [*([by_hand("gate")] if gate else []), wait_for_webhook("wait", matches)]
    )
    workflow_id = conductor.start(unique(name), **input_)
    conductor.wait_for_task(workflow_id, "gate" if gate else "wait")
    return workflow_id


class Bridge:
    """Relay and worker with a database of their own. Nothing runs before `start`."""

    def __init__(self, folder: Path, conductor_url: str, webhooks: str, **settings: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.definitions = folder / "webhooks.yaml"
        self.define(webhooks)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.database = folder / "bridge.db"
        self.environment = bridge_environment(
            **{
                **SETTINGS,
                "bridge_webhooks": str(self.definitions),
                "bridge_database": f"sqlite:///{self.database}",
                "conductor_server_url": conductor_url,
                "port": str(self.port),
                **settings,
            }
        )
        self.relay: Child | None = None
        self.worker: Child | None = None
        self.worker_within: list[str] = []
        """What the worker's command begins with."""
        self._workers = 0
        self._relay_here: FlaskClient | None = None
        self._store: Store | None = None

    # --- processes

    def start(self) -> Bridge:
        """Starts relay and worker."""
        self.start_relay()
        self.start_worker()
        return self

    def start_worker_alone(self) -> Bridge:
        """Starts the worker; this process receives the deliveries, as the definitions are now.

        For tests of the worker: a relay's start takes longer than most of them.
        """
        store = self.store
        with self.inside(self.environment):
            self._relay_here = create_app(load_settings(), store=store).test_client()
        self.start_worker()
        return self

    def start_relay(self) -> Child:
        """Starts the relay; it is ready then."""
        self.relay = start_relay(self.environment, self.folder / "relay.log", self.folder)
        return self.relay

    def start_worker(self) -> Child:
        """Starts the worker, or one more. It has a log of its own: what it writes there tells that
        it has started."""
        self._workers += 1
        log = self.folder / f"worker{self._workers if self._workers > 1 else ''}.log"
        self.worker = start_worker(self.environment, log, self.folder, self.worker_within)
        return self.worker

    def stop_worker(self) -> int:
        """Stops the worker with SIGTERM; its exit code."""
        assert self.worker is not None
        worker, self.worker = self.worker, None
        return worker.stop()

    def stop_relay(self) -> int:
        """Stops the relay with SIGTERM; its exit code."""
        assert self.relay is not None
        relay, self.relay = self.relay, None
        return relay.stop()

    def stop(self) -> None:
        """Stops what runs."""
        if self.worker:
            self.stop_worker()
        if self.relay:
            self.stop_relay()
        if self._store:
            self._store.close()

    def define(self, webhooks: str) -> None:
        """Writes the definitions, as an editor does: the new file takes the old one's place at
        once."""
        new = self.definitions.with_suffix(".new")
        new.write_text(webhooks, encoding="utf-8")
        new.replace(self.definitions)

    def reload(self) -> None:
        """Tells the processes to read the definitions again."""
        for process in (self.relay, self.worker):
            if process:
                process.signal(signal.SIGHUP)

    # --- deliveries

    def post(
        self,
        webhook: str,
        body: bytes | Any,
        headers: dict[str, str] | None = None,
        once: bool = False,
    ) -> Answer:
        """Posts the body (an object is sent as JSON) to the webhook: again while the store is busy,
        unless `once`."""
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers = {"Content-Type": "application/json", **(headers or {})}
        send = partial(self._post, webhook, body, headers)
        return send() if once else until_stored(send)

    def _post(self, webhook: str, body: bytes, headers: dict[str, str] | None) -> Answer:
        if self._relay_here is None:
            return http("POST", f"{self.url}/webhook/{webhook}", body, headers)
        answer = self._relay_here.post(f"/webhook/{webhook}", data=body, headers=headers)
        return Answer(
            answer.status_code,
            answer.data,
            {name.lower(): value for name, value in answer.headers},
        )

    def github(
        self,
        webhook: str,
        payload: Any,
        event: str = "push",
        delivery: str | None = None,
        secret: str = GITHUB_SECRET,
        once: bool = False,
    ) -> Answer:
        """Posts an event as GitHub does, signed."""
        body = json.dumps(payload).encode()
        signed = signing.github(secret, body, delivery or str(uuid.uuid4()), event)
        return self.post(webhook, body, signed, once)

    def slack(self, webhook: str, payload: Any, secret: str = SLACK_SECRET) -> Answer:
        """Posts an event as Slack does, signed."""
        body = json.dumps(payload).encode()
        return self.post(webhook, body, signing.slack(secret, body))

    def orders(self, webhook: str, payload: Any) -> str:
        """Posts an event with the header that proves who sends; the event's id."""
        return accepted(self.post(webhook, payload, {"X-Api-Key": API_KEY}))

    # --- what became of them

    @property
    def store(self) -> Store:
        """The store, beside the processes."""
        if self._store is None:
            with patient_stores():
                self._store = open_store(self.environment["BRIDGE_DATABASE"])
        return self._store

    def event(self, event_id: str) -> Event:
        """The event of that id."""
        event = self.store.queries.event(event_id)
        assert event is not None, f"the store has no event {event_id}"
        return event

    def targets(self, event_id: str) -> list[Target]:
        """What the event was applied to, or is to be."""
        return list(self.store.queries.targets_of([event_id]))

    def events(self, webhook: str) -> list[Event]:
        """The webhook's events, the newest first."""
        return self.store.queries.events(EventFilter(webhook=webhook, limit=1000))

    def wait_for_event(
        self, event_id: str, status: EventStatus, timeout: float = PATIENCE
    ) -> Event:
        """The event, once it has that status."""
        wait_for(
            lambda: self.event(event_id).status == status,
            f"event {event_id} becomes {status} (it is {self.event(event_id).status})",
            timeout,
        )
        return self.event(event_id)

    def wait_until_decided(self, event_id: str, timeout: float = PATIENCE) -> Event:
        """The event, once its takers are decided: from then on only the hold can bring it one."""
        wait_for(
            lambda: self.event(event_id).decided_at is not None,
            f"the takers of event {event_id} are decided",
            timeout,
        )
        return self.event(event_id)

    @contextmanager
    def inside(self, environment: dict[str, str]) -> Iterator[None]:
        """Within, this process is in the folder and has only these variables."""
        here, before = Path.cwd(), dict(os.environ)
        try:
            os.chdir(self.folder)
            os.environ.clear()
            os.environ.update(environment)
            yield
        finally:
            os.chdir(here)
            os.environ.clear()
            os.environ.update(before)

    def cli(self, *arguments: str, code: int = 0, all_output: bool = False) -> str:
        """What the command line prints; with `all_output`, on stderr too. Fails unless it exits
        with that code.

        It runs in the tests' own process: to start one takes more time than all the rest.
        """
        with self.inside(self.environment), patient_stores():
            answer = CliRunner().invoke(main, arguments, catch_exceptions=False)
        assert answer.exit_code == code, (
            f"webhook-bridge {' '.join(arguments)}: exit code {answer.exit_code}, not {code}\n"
            f"{answer.stdout}\n{answer.stderr}"
        )
        return answer.output if all_output else answer.stdout

    def check(self, *expected: str, code: int = 0) -> str:
        """What `check` prints, with that exit code, once all this is in it: a busy Conductor may be
        too slow for its few seconds."""

        def said() -> str:
            with suppress(AssertionError):
                printed = self.cli("check", code=code, all_output=True)
                return printed if all(text in printed for text in expected) else ""
            return ""

        return wait_for(said, f"check says {expected}")

    def cli_json(self, *arguments: str) -> Any:
        """What the command line prints with --json."""
        return json.loads(self.cli(*arguments, "--json"))


def accepted(answer: Answer) -> str:
    """The event's id of a new delivery that was answered so."""
    assert answer.status == 200, f"{answer.status}: {answer.text}"
    assert "duplicate" not in answer.json, answer.text
    return str(answer.json["eventId"])
