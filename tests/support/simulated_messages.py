"""The message queues of a simulated Conductor."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from worker.conductor.errors import Garbled, NotFound, NotNow, NotThere, Refused
from worker.conductor.messages import Keyed

if TYPE_CHECKING:
    from tests.support.simulated import SimulatedConductor, SimulatedWorkflow


class SimulatedMessages:
    """Implements what the worker uses of `worker.conductor.messages.Messages`."""

    def __init__(self, conductor: SimulatedConductor):
        self._conductor = conductor
        self.on = True
        self.most = 1000
        self.queues: dict[str, list[Any]] = {}
        """Workflow → what was pushed to it, in order."""
        self.pulled: dict[str, int] = {}
        """Workflow → how many of these its tasks have read."""
        self.paused: set[str] = set()
        self.read_whole = 0
        """How often all ended workflows with a key were read."""
        self.size_of_ended = 0
        """Bytes of an answer that shows the ended workflows with a key."""
        self.left_out: dict[str, int] = {}
        """Workflows that are being written → how many looks for a key leave them out meanwhile."""
        self.before_push: Callable[[str], None] = lambda workflow_id: None

    def push(self, workflow_id: str, message: str, not_after: float = 0) -> None:
        self.before_push(workflow_id)
        if not self.on:
            raise NotThere("404 No static resource", 404)
        workflow = self._conductor.workflows.get(workflow_id)
        if workflow is None or workflow_id in self._conductor.removed:
            raise NotThere("404", 404)
        if workflow.ended or workflow_id in self.paused:
            raise Refused("409", 409)
        queue = self.queues.setdefault(workflow_id, [])
        if len(queue) - self.pulled.get(workflow_id, 0) >= self.most:
            raise NotNow("429", 429)
        self._conductor._perform(lambda: queue.append(json.loads(message)))

    def with_key(self, name: str, key: str, ended: bool, largest: int | None = None) -> list[Keyed]:
        if ended and largest is not None and self.size_of_ended > largest:
            raise Garbled("the answer is too large")
        self.read_whole += ended and largest is None
        if self._conductor.starts_unindexed:
            return []
        found = [
            w
            for w in self._conductor.workflows.values()
            if (w.name, w.correlation_id) == (name, key)
        ]
        found = [
            w for w in found if w.id not in self._conductor.removed and not self._leaves_out(w.id)
        ]
        keyed = [
            Keyed(w.id, self._status(w), w.started_at, _event_of(w.input)) for w in reversed(found)
        ]
        return [one for one in keyed if ended or one.status == "RUNNING"]

    def _leaves_out(self, workflow_id: str) -> bool:
        left = self.left_out.get(workflow_id, 0)
        self.left_out[workflow_id] = max(0, left - 1)
        return left > 0

    def status(self, workflow_id: str) -> str | None:
        workflow = self._conductor.workflows.get(workflow_id)
        return (
            None
            if workflow is None or workflow_id in self._conductor.removed
            else self._status(workflow)
        )

    def was_pulled(self, workflow_id: str, event_id: str) -> bool:
        read = self.queues.get(workflow_id, [])[: self.pulled.get(workflow_id, 0)]
        return event_id in map(_event_of, read)

    def unread(self, workflow_id: str, event_ids: Sequence[str]) -> list[str] | None:
        workflow = self._conductor.workflows.get(workflow_id)
        if workflow is None or workflow_id in self._conductor.removed:
            raise NotFound("404 No such workflow found by id", 404)
        if not workflow.ended:
            return None
        own = _event_of(workflow.input)
        return [one for one in event_ids if one != own and not self.was_pulled(workflow_id, one)]

    def are_on(self) -> bool:
        return self.on

    def _status(self, workflow: SimulatedWorkflow) -> str:
        return (
            "COMPLETED" if workflow.ended else "PAUSED" if workflow.id in self.paused else "RUNNING"
        )


def _event_of(payload: Any) -> str | None:
    return payload["_webhook"]["eventId"] if payload else None
