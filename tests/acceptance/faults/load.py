"""A load of mixed scenarios, and an audit of their effects from Conductor's side alone.

The clients behave as platforms do: they send a delivery again, under the same delivery id, until it
is answered with 2xx. What such a delivery must have done is written down as an expectation; the
audit then asks Conductor, and not the bridge's store, whether that happened, and exactly once.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from tests.acceptance.faults.clients import Clients, until_accepted
from tests.support.bridge import Bridge, unique
from tools.servers import PATIENCE
from tools.servers.client import (
    TERMINAL,
    Conductor,
    RequestFailed,
    by_hand,
    set_variable,
    wait_for_webhook,
    was_given_up,
)

T = TypeVar("T")
Scenario = Callable[[], None]


def webhooks(label: str) -> str:
    """The definitions for a load whose workflows carry this label."""
    return f"""
webhooks:
  - name: waits
    platform: github
    secret: ${{GITHUB_SECRET}}
    receivers:
      {unique(f"wait_{label}")}: any
      {unique(f"gate_{label}")}: any
      {unique(f"loop_{label}")}: any
  - name: starts
    platform: github
    secret: ${{GITHUB_SECRET}}
    starts:
      - workflow: {unique(f"started_{label}")}
        when: {{"$.go": true}}
      - workflow: {unique(f"started_{label}")}
      - workflow: {unique(f"other_{label}")}
  - name: once
    platform: github
    secret: ${{GITHUB_SECRET}}
    starts:
      - workflow: {unique(f"once_{label}")}
        once: {{key: $.key}}
"""


ITERATIONS = 4
MANY_EVENTS = 80
REST = 2.0
"""Seconds that each client rests after a scenario once there were so many events: a server that
takes minutes to start again on a slow machine must not find ten thousand."""


@dataclass(frozen=True)
class Completed:
    """The workflow's waiting tasks were completed by these events, in this order."""

    workflow_id: str
    events: tuple[str, ...]
    sibling: str | None = None
    """Another workflow that waits for the same event. A Conductor that is killed may hide a task
    from its own queue for a minute, and from its index for seconds; the event is then decided
    without it (rule 4), which is right as long as another took it."""


@dataclass(frozen=True)
class Started:
    """The event started the workflow so often, each time with a correlation id of its own."""

    event: str
    name: str
    times: int


@dataclass(frozen=True)
class StartedOnce:
    """One of these events started the workflow, and the others did not."""

    name: str
    events: tuple[str, ...]


Expectation = Completed | Started | StartedOnce


class Load:
    """Plays scenarios against a bridge until it is told to stop."""

    def __init__(self, conductor: Conductor, bridge: Bridge, label: str, seed: int) -> None:
        self.conductor = conductor
        self.bridge = bridge
        self.label = label
        self.seed = seed
        self.expected: list[Expectation] = []
        self.events = 0
        self.retries = 0
        self.abandoned = 0
        self.given_up: set[str] = set()
        """Workflows that Conductor has failed by itself: it had too much to do to schedule a task
        of theirs."""
        self.conductor_is_killed = False
        self.hidden = 0
        self._clients = Clients()
        self._lock = threading.Lock()

    def register(self) -> None:
        """Makes the workflows known."""
        wait = wait_for_webhook("wait", {"$.to": "${workflow.input.key}"})
        loop = {
            "name": "loop",
            "taskReferenceName": "loop",
            "type": "DO_WHILE",
            "inputParameters": {},
            "loopCondition": f"if ($.loop['iteration'] < {ITERATIONS}) {{ true; }} else {{ false; }}",
            "loopOver": [wait],
        }
        self.conductor.register(self._name("wait"), [wait])
        self.conductor.register(self._name("gate"), [by_hand("gate"), wait])
        self.conductor.register(self._name("loop"), [loop])
        self.conductor.register(self._name("started"), [set_variable()])
        self.conductor.register(self._name("other"), [set_variable()])
        self.conductor.register(self._name("once"), [by_hand("gate")])

    def _name(self, workflow: str) -> str:
        return unique(f"{workflow}_{self.label}")

    def started_names(self) -> list[str]:
        """The workflows that events start: each ends by itself."""
        return [self._name("started"), self._name("other")]

    # --- running ---

    def run(self, clients: int, scenarios: int | None = None) -> None:
        """Starts that many clients; each plays so many scenarios, or until `stop`."""
        for number in range(clients):
            random_ = random.Random(f"{self.seed} {number}")
            self._clients.start(self._client, random_, scenarios)

    def stop(self) -> None:
        """Ends the clients after the scenarios that they are in."""
        self._clients.stopped.set()
        self.join()

    def join(self) -> None:
        """Returns when the clients have ended. Raises what went wrong in them."""
        self._clients.join(3 * PATIENCE)

    def _client(self, random_: random.Random, scenarios: int | None) -> None:
        played = 0
        while not self._clients.stopped.is_set() and (scenarios is None or played < scenarios):
            self._play(random_.choice(self.scenarios()), random_)
            played += 1
            if scenarios is None and self.events >= MANY_EVENTS:
                self._clients.stopped.wait(REST)

    def scenarios(self) -> tuple[Scenario, ...]:
        """What is played, each as often as it is named."""
        return (
            *(self._single, self._single, self._fan_out, self._held, self._loop),
            *(self._start, self._start, self._once),
        )

    def _play(self, scenario: Scenario, random_: random.Random) -> None:
        """Plays one scenario; `random_` is the client's own."""
        scenario()

    # --- scenarios ---

    def _single(self) -> None:
        """One task waits, one event comes."""
        key = uuid.uuid4().hex
        if (workflow_id := self._begin("wait", key)) is not None:
            self._expect(Completed(workflow_id, (self._post("waits", {"to": key}),)))

    def _fan_out(self) -> None:
        """Two workflows wait for one event."""
        key = uuid.uuid4().hex
        begun = [
            workflow_id for _ in range(2) if (workflow_id := self._begin("wait", key)) is not None
        ]
        if len(begun) < 2:
            return  # the one that nobody knows of might take the event alone
        event = self._post("waits", {"to": key})
        for workflow_id, sibling in zip(begun, reversed(begun), strict=True):
            self._expect(
                Completed(workflow_id, (event,), sibling if self.conductor_is_killed else None)
            )

    def _held(self) -> None:
        """The event comes before the task waits."""
        key = uuid.uuid4().hex
        workflow_id = self._begin("gate", key, "gate")
        if workflow_id is not None:
            event = self._post("waits", {"to": key})
            self.patiently(lambda: self.conductor.complete(workflow_id, "gate"))
            self._expect(Completed(workflow_id, (event,)))

    def _loop(self) -> None:
        """A loop takes one event an iteration, in the order of arrival."""
        key = uuid.uuid4().hex
        workflow_id = self._begin("loop", key, "wait__1")
        if workflow_id is not None:
            events = [
                self._post("waits", {"to": key, "number": number}) for number in range(ITERATIONS)
            ]
            self._expect(Completed(workflow_id, tuple(events)))

    def _start(self) -> None:
        """An event starts workflows, one of them twice."""
        event = self._post("starts", {"go": True})
        self._expect(Started(event, self._name("started"), 2))
        self._expect(Started(event, self._name("other"), 1))

    def _once(self) -> None:
        """Events of one key that come at once: one of them starts the workflow, which runs on."""
        key = uuid.uuid4().hex
        with ThreadPoolExecutor(3) as pool:
            events = tuple(pool.map(lambda _: self._post("once", {"key": key}), range(3)))
        self._expect(StartedOnce(self._name("once"), events))

    def _begin(self, name: str, key: str, first: str = "wait") -> str | None:
        """A workflow with that key whose first task waits; None if Conductor broke down over it."""
        body = {"name": self._name(name), "input": {"key": key}}
        try:
            workflow_id = str(self.conductor.call("POST", "/workflow", body))
        except RequestFailed:
            # Nobody knows whether there is one now; its key is never used again.
            self.abandoned += 1
            self._clients.stopped.wait(0.5)
            return None
        deadline = time.monotonic() + PATIENCE
        while not self.patiently(lambda: self.conductor.task(workflow_id, first)):
            workflow = self.patiently(lambda: self.conductor.workflow(workflow_id))
            if self._is_given_up(workflow):
                return None
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"Conductor never scheduled {first} of {workflow_id}: {_brief(workflow)}"
                )
            time.sleep(0.05)
        return workflow_id

    def _is_given_up(self, workflow: dict[str, Any]) -> bool:
        """Whether Conductor has failed the workflow by itself."""
        if not was_given_up(workflow):
            return False
        with self._lock:
            self.given_up.add(workflow["workflowId"])
        return True

    def _post(self, webhook: str, payload: dict[str, Any]) -> str:
        """Posts until it is accepted; the event's id. What is sent is told apart by its body, as
        GitHub signs no id."""
        delivery = str(uuid.uuid4())
        payload = {**payload, "sent": delivery}

        def again() -> None:
            with self._lock:
                self.retries += 1

        event_id = until_accepted(
            lambda: self.bridge.github(webhook, payload, delivery=delivery, once=True), again
        )
        with self._lock:
            self.events += 1
        return event_id

    def _expect(self, expectation: Expectation) -> None:
        with self._lock:
            self.expected.append(expectation)

    def patiently(self, call: Callable[[], T]) -> T:
        """The call's value, tried again while Conductor is away."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return call()
            except RequestFailed as error:
                if time.monotonic() > deadline or error.status in (400, 404):
                    raise
            time.sleep(0.2)

    # --- the audit ---

    def audit(self, patience: float = PATIENCE) -> None:
        """Waits for every effect to be there, and then checks that none is there twice. Fails with
        what is wrong.

        `patience` are the seconds within which at least one more must come: a slow machine is no
        fault. A Conductor that was killed mends its own workflows within a minute.
        """
        deadline = time.monotonic() + patience
        nudge = time.monotonic() + patience / 8
        open_ = list(self.expected)
        while open_:
            missing = [one for one in open_ if not self._is_there(one)]
            if len(missing) < len(open_):
                deadline = time.monotonic() + patience
            open_ = missing
            if self.conductor_is_killed and time.monotonic() > nudge:
                nudge += 10
                self._nudge([one for one in open_ if isinstance(one, Completed)])
            if open_ and time.monotonic() > deadline:
                shown = "\n".join(f"{one}: {self._seen(one)}" for one in open_[:5])
                raise AssertionError(
                    f"seed {self.seed}: {len(open_)} effects are missing:\n{shown}"
                )
            time.sleep(0.5 if open_ else 0)
        for one in self.expected:
            assert self._is_there(one)  # and still exactly once
        assert len(self.given_up) <= len(self.expected) / 4, (
            f"Conductor has failed {len(self.given_up)} workflows"
        )
        self._nothing_else()

    def _nudge(self, stuck: list[Completed]) -> None:
        """Has Conductor look at workflows that it left lying as it was killed, between one task and
        the next."""
        for one in stuck:
            path = f"/workflow/decide/{one.workflow_id}"
            self.patiently(lambda path=path: self.conductor.call("PUT", path))  # type: ignore[misc]

    def _is_there(self, expectation: Expectation) -> bool:
        if isinstance(expectation, StartedOnce):
            return bool(self._started_once(expectation))
        if isinstance(expectation, Started):
            return self._is_started(expectation)
        workflow = self.patiently(lambda: self.conductor.workflow(expectation.workflow_id))
        tasks = [task for task in workflow["tasks"] if task["taskType"] == "WAIT_FOR_WEBHOOK"]
        tasks.sort(key=lambda task: task["seq"])
        done = [task for task in tasks if task["status"] == "COMPLETED"]
        events = tuple(task["outputData"]["_webhook"]["eventId"] for task in done)
        assert [task["workerId"] for task in done] == list(events)
        assert events == expectation.events[: len(events)], (
            f"seed {self.seed}: workflow {expectation.workflow_id} took {events}, not {expectation.events}"
        )
        if self._is_given_up(workflow):  # nothing more can become of it
            return True
        assert workflow["status"] not in TERMINAL or workflow["status"] == "COMPLETED", (
            f"seed {self.seed}: workflow {expectation.workflow_id} is {workflow['status']}:"
            f" {workflow.get('reasonForIncompletion')}"
        )
        if not done and expectation.sibling:
            self.hidden += 1
            return self._is_there(Completed(expectation.sibling, expectation.events))
        return events == expectation.events and workflow["status"] == "COMPLETED"

    def _started_once(self, expectation: StartedOnce) -> list[str]:
        found = [
            workflow
            for event in expectation.events
            for workflow in self.patiently(
                lambda event=event: self.conductor.started_by(expectation.name, event)
            )  # type: ignore[misc]
        ]
        # After one that Conductor itself gave up, as it was killed or very busy, another start is
        # right.
        count = [workflow for workflow in found if not was_given_up(workflow)]
        assert len(count) <= 1, f"seed {self.seed}: {expectation} started {found}"
        return [workflow["workflowId"] for workflow in found]

    def _seen(self, expectation: Expectation) -> str:
        """What Conductor shows of it, for a failure's message."""
        if isinstance(expectation, StartedOnce):
            return str(self._started_once(expectation))
        if isinstance(expectation, Started):
            return str(self.conductor.started_by(expectation.name, expectation.event))[:300]
        return _brief(self.conductor.workflow(expectation.workflow_id))

    def _is_started(self, expectation: Started) -> bool:
        wanted = [
            expectation.event,
            *(f"{expectation.event}#{n + 1}" for n in range(1, expectation.times)),
        ]
        found = [
            self.patiently(
                lambda id_=correlation_id: self.conductor.started_by(expectation.name, id_)
            )  # type: ignore[misc]
            for correlation_id in wanted
        ]
        assert all(len(workflows) <= 1 for workflows in found), (
            f"seed {self.seed}: event {expectation.event} started {expectation.name} more than once: {found}"
        )
        inputs = [
            workflow["input"]["_webhook"]["eventId"]
            for workflows in found
            for workflow in workflows
        ]
        assert set(inputs) <= {expectation.event}
        return len(inputs) == expectation.times

    def _nothing_else(self) -> None:
        """Whatever was started by an event was started by one that was accepted, and no oftener."""
        wanted: Counter[tuple[str, str]] = Counter()
        for one in self.expected:
            if isinstance(one, Started):
                wanted[one.name, one.event] = one.times
        for name in self.started_names():
            found: Counter[tuple[str, str]] = Counter()
            for workflow in self._search(f"workflowType='{name}'"):
                found[name, str(workflow["correlationId"]).partition("#")[0]] += 1
            # A Conductor that is killed may leave a workflow out of its index; `_is_started` has
            # found those.
            mine = Counter({key: number for key, number in wanted.items() if key[0] == name})
            assert not found - mine, (
                f"seed {self.seed}: {name} was started {found - mine} too often"
            )
            self._no_twin_runs(name)

    def _no_twin_runs(self, name: str) -> None:
        """No workflow that runs still was started for what another one was: its server's index may
        not know of it."""
        for running in self.patiently(
            lambda: self.conductor.call("GET", f"/workflow/running/{name}")
        ):
            id_ = str(
                self.patiently(lambda running=running: self.conductor.workflow(running))[
                    "correlationId"
                ]
            )  # type: ignore[misc]
            known = self.patiently(lambda id_=id_: self.conductor.started_by(name, id_))  # type: ignore[misc]
            twins = {running, *(workflow["workflowId"] for workflow in known)}
            assert len(twins) == 1, f"seed {self.seed}: {id_} started {name} as {twins}"

    def _search(self, query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            path = f"/workflow/search?start={len(found)}&size=1000&sort=startTime:ASC&query={quote(query)}"
            page = self.patiently(lambda path=path: self.conductor.call("GET", path))["results"]  # type: ignore[misc]
            found += page
            if len(page) < 1000:
                return found


def _brief(workflow: dict[str, Any]) -> str:
    """What matters of a workflow where it isn't as it should be."""
    keys = (
        "referenceTaskName",
        "status",
        "scheduledTime",
        "startTime",
        "endTime",
        "pollCount",
        "workerId",
    )
    tasks = [[task.get(key) for key in keys] for task in workflow["tasks"]]
    return f"{workflow['status']} {workflow.get('reasonForIncompletion', '')} {tasks}"
