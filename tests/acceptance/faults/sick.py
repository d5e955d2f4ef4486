"""Single workflows, tasks and events that Conductor answers for as nobody foresaw, beside others that are well.

What ails is drawn by the load, and told to the proxy: all that Conductor is asked of such an item is answered so, until
the item heals. In a list with others it is the item alone that can't be read, or with 500 the whole page of a search.
"""

from __future__ import annotations

import json
import random
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from testkit.client import wait_for
from tests.acceptance.faults.load import PATIENCE, Completed, Expectation, Load
from tests.acceptance.faults.proxy import Exchange, HttpProxy

Ailment = Literal["500", "403", "hang", "garbage", "wrong types", "huge", "not UTF-8"]
AILMENTS: tuple[Ailment, ...] = Ailment.__args__  # type: ignore[attr-defined]
Kind = Literal["workflow", "task", "event"]
KINDS: tuple[Kind, ...] = Kind.__args__  # type: ignore[attr-defined]
_HUGE = 65 * 1024**2
_PIECE = b" " * 1024**2


class SickProxy(HttpProxy):
    """Answers for ailing items as they ail, and forwards everything else."""

    def __init__(self, to: int, hang: float) -> None:
        """`to` is the server's port; who asks for an item that hangs waits `hang` seconds for nothing."""
        self._hang = hang
        self._ailing: dict[str, Ailment] = {}
        """What names an ailing item in a request: an id, or a mark in an event's payload."""
        self._tasks: dict[str, Ailment] = {}
        """What names an ailing task in a list: a value that it waits for."""
        super().__init__(to)

    def ails(self, name: str, ailment: Ailment) -> None:
        """Whatever a request names so ails."""
        self._ailing = {**self._ailing, name: ailment}

    def task_ails(self, key: str, ailment: Ailment) -> None:
        """Tasks that wait for that value ail."""
        self._tasks = {**self._tasks, key: ailment}

    def heal(self) -> None:
        """Nothing ails any more."""
        self._ailing, self._tasks = {}, {}

    def answer(self, exchange: Exchange, body: bytes) -> None:
        """Answers one request."""
        path = urlsplit(exchange.path).path
        asked = f"{path} {body.decode('utf-8', 'replace')}"
        ailment = next((ailment for name, ailment in self._ailing.items() if name in asked), None)
        if ailment is not None:
            self._learn(body, ailment)
            self.counts[ailment] += 1
            self._ail(exchange, ailment)
            return
        status, answer, kind = exchange.forward(body)
        if self._tasks and status == 200 and path.startswith(("/api/tasks/poll/", "/api/tasks/search")):
            status, answer = self._with_ailing_tasks(path, answer)
        exchange.say(status, answer, kind)

    def _learn(self, body: bytes, ailment: Ailment) -> None:
        """A start that ails ails also as it is looked up, by the event's id."""
        with suppress(ValueError, KeyError, TypeError, AttributeError):
            self.ails(json.loads(body)["correlationId"], ailment)

    def _ail(self, exchange: Exchange, ailment: Ailment) -> None:
        if ailment in ("500", "403"):
            exchange.say(int(ailment), b'{"message": "it ails"}')
        elif ailment == "hang":
            self.stopping.wait(self._hang)
            exchange.hang_up()
        elif ailment == "garbage":
            exchange.say(200, b"<html>welcome</html>", "text/html")
        elif ailment == "wrong types":
            exchange.say(200, b'{"workflowId": 7, "taskId": [], "tasks": "many", "status": {}, "startTime": "soon"}')
        elif ailment == "not UTF-8":
            exchange.say(200, b'{"message": "caf\xe9"}')
        else:
            self._say_much(exchange)

    def _say_much(self, exchange: Exchange) -> None:
        exchange.close_connection = True
        with suppress(OSError):
            exchange.send_response(200)
            exchange.send_header("Content-Type", "application/json")
            exchange.send_header("Content-Length", str(_HUGE))
            exchange.end_headers()
            for _ in range(_HUGE // len(_PIECE)):
                exchange.wfile.write(_PIECE)

    def _with_ailing_tasks(self, path: str, answer: bytes) -> tuple[int, bytes]:
        """The list as it comes where some of its tasks ail; they are also asked for by their ids."""
        found = json.loads(answer)
        items = found["results"] if isinstance(found, dict) else found
        for number, item in enumerate(items):
            text = json.dumps(item)
            ailment = next((ailment for key, ailment in self._tasks.items() if key in text), None)
            if ailment is None:
                continue
            self.ails(f"/tasks/{item['taskId']}", ailment)
            self.ails(f"/tasks/{item.get('workflowInstanceId') or item['workflowId']}/", ailment)
            self.counts[f"{ailment} in a list"] += 1
            if ailment == "500" and "search" in path:
                return 500, b'{"message": "it ails"}'
            items[number] = _garbled(item, ailment)
        return 200, json.dumps(found).encode()


def _garbled(item: dict[str, Any], ailment: Ailment) -> Any:
    if ailment == "garbage":
        return "nonsense"
    if ailment == "huge":
        return {**item, "scheduledTime": 1e300, "taskId": item["taskId"]}
    if "inputData" not in item:  # a summary, in which there is only the id
        return item
    return {**item, "workflowInstanceId": None, "referenceTaskName": ["wait"], "inputData": "lost"}


@dataclass
class _Draw:
    """What ails in the scenario that a client plays; nothing if `kind` is None."""

    kind: Kind | None = None
    ailment: Ailment = "500"


class SickLoad(Load):
    """A load of which a drawn part ails."""

    proxy: SickProxy
    share = 0.1
    """Of the scenarios."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.ailing: list[Expectation] = []
        """What comes about only once all has healed."""
        self._drawn = threading.local()

    @property
    def _now(self) -> _Draw:
        draw: _Draw = getattr(self._drawn, "draw", _Draw())
        return draw

    def _play(self, scenario: Callable[[], None], random_: random.Random) -> None:
        draw = _Draw()
        if random_.random() < self.share:
            draw = _Draw(random_.choice(KINDS), random_.choice(AILMENTS))
            # There a healthy part would wait for the ailing one by its nature.
            if scenario.__name__ == "_fan_out":
                draw = _Draw()
            elif scenario.__name__ in ("_start", "_once"):
                draw.kind = "event"
        self._drawn.draw = draw
        scenario()

    def _begin(self, name: str, key: str, first: str = "wait") -> str | None:
        draw = self._now
        if draw.kind == "task":
            self.proxy.task_ails(key, draw.ailment)
        workflow_id = super()._begin(name, key, first)
        if workflow_id is not None and draw.kind == "workflow":
            self.proxy.ails(workflow_id, draw.ailment)
        return workflow_id

    def _post(self, webhook: str, payload: dict[str, Any]) -> str:
        mark = uuid.uuid4().hex
        if self._now.kind == "event":
            self.proxy.ails(mark, self._now.ailment)
        return super()._post(webhook, {**payload, "mark": mark})

    def _expect(self, expectation: Expectation) -> None:
        if self._now.kind is None:
            super()._expect(expectation)
        else:
            with self._lock:
                self.ailing.append(expectation)

    def is_there(self, expectation: Expectation) -> bool:
        """Whether Conductor shows the effect."""
        return self._is_there(expectation)

    def find_one_alone(self) -> None:
        """Returns when the worker has found a task by the index alone: from then on each scan searches it."""

        def found() -> bool:
            if "tasks_by_index_alone" in self.bridge.store.facts.all():
                return True
            self._begin("wait", uuid.uuid4().hex)
            self.patiently(self.conductor.poll)  # the worker may be the first to poll it: then it is another's turn
            return False

        wait_for(found, "a task is found by the index alone", PATIENCE, every=0.5)

    def one_of_two(self, ailment: Ailment) -> None:
        """Two workflows wait for one event, and one of them ails: the other goes on."""
        self._drawn.draw = _Draw()
        key, well, sick = "", None, None
        deadline = time.monotonic() + PATIENCE
        while well is None or sick is None:  # a Conductor that has very much to do breaks down over one now and then
            assert time.monotonic() < deadline, "Conductor begins no two workflows"
            key = uuid.uuid4().hex
            well, sick = self._begin("wait", key), self._begin("wait", key)
        self.proxy.ails(sick, ailment)
        event = self._post("waits", {"to": key})
        self.expected.append(Completed(well, (event,)))
        self.ailing.append(Completed(sick, (event,)))

    def healed(self) -> None:
        """Nothing ails any more: all is expected now."""
        self.proxy.heal()
        self.expected += self.ailing
        self.ailing = []
