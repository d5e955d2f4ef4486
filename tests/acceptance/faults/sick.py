"""Single workflows and events that Conductor answers for as nobody foresaw, beside others that are
well.

What ails is drawn by the load, and told to the proxy: all that Conductor is asked of such an item
is answered so, until the item heals.
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

from tests.acceptance.faults.load import Completed, Expectation, Load
from tests.support.faulty_proxy import Exchange, HttpProxy
from tools.servers import PATIENCE

Ailment = Literal["500", "403", "hang", "garbage", "wrong types", "huge", "not UTF-8"]
AILMENTS: tuple[Ailment, ...] = Ailment.__args__  # type: ignore[attr-defined]
_WRONG_TYPES = (
    b'{"workflowId": 7, "taskId": [], "tasks": "many", "status": {}, "startTime": "soon"}'
)


class SickProxy(HttpProxy):
    """Answers for ailing items as they ail, and forwards everything else."""

    def __init__(self, to: int, hang: float) -> None:
        """`to` is the server's port; who asks for an item that hangs waits `hang` seconds for
        nothing."""
        self._hang = hang
        self._ailing: dict[str, Ailment] = {}
        """What names an ailing item in a request: an id, or a mark in an event's payload."""
        super().__init__(to)

    def ails(self, name: str, ailment: Ailment) -> None:
        """Whatever a request names so ails."""
        self._ailing = {**self._ailing, name: ailment}

    def heal(self) -> None:
        """Nothing ails any more."""
        self._ailing = {}

    def answer(self, exchange: Exchange, body: bytes) -> None:
        """Answers one request."""
        asked = f"{exchange.path.partition('?')[0]} {body.decode('utf-8', 'replace')}"
        ailment = next((ailment for name, ailment in self._ailing.items() if name in asked), None)
        if ailment is None:
            exchange.say(*exchange.forward(body))
            return
        # A start ails also as it is looked up.
        with suppress(ValueError, KeyError, TypeError, AttributeError):
            self.ails(json.loads(body)["correlationId"], ailment)
        self.counts[ailment] += 1
        if ailment in ("500", "403"):
            exchange.say(int(ailment), b'{"message": "it ails"}')
        elif ailment == "hang":
            self.stopping.wait(self._hang)
            exchange.hang_up()
        elif ailment == "garbage":
            exchange.say(200, b"<html>welcome</html>", "text/html")
        elif ailment == "wrong types":
            exchange.say(200, _WRONG_TYPES)
        elif ailment == "not UTF-8":
            exchange.say(200, b'{"message": "caf\xe9"}')
        else:
            exchange.close_connection = True
            exchange.say(200, b" " * (65 * 1024**2))


@dataclass
class _Draw:
    """What ails in the scenario that a client plays; nothing if `kind` is None."""

    kind: Literal["workflow", "event"] | None = None
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
        if random_.random() < self.share and scenario.__name__ != "_fan_out":
            # In that one a healthy part would wait for the ailing one by its nature.
            draw = _Draw(random_.choice(("workflow", "event")), random_.choice(AILMENTS))
            if scenario.__name__ in ("_start", "_once"):
                draw.kind = "event"
        self._drawn.draw = draw
        scenario()

    def _begin(self, name: str, key: str, first: str = "wait") -> str | None:
        workflow_id = super()._begin(name, key, first)
        if workflow_id is not None and self._now.kind == "workflow":
            self.proxy.ails(workflow_id, self._now.ailment)
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

    def one_of_two(self, ailment: Ailment) -> None:
        """Two workflows wait for one event, and one of them ails: the other goes on."""
        self._drawn.draw = _Draw()
        key, well, sick = "", None, None
        deadline = time.monotonic() + PATIENCE
        # A Conductor that has very much to do breaks down over one now and then.
        while well is None or sick is None:
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
