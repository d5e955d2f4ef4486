"""Events' payloads as decisions read them: what evaluates them is bounded for each webhook."""

from __future__ import annotations

import math
from collections import defaultdict

import structlog

from criteria import document as documents
from criteria.equality import Key
from criteria.evaluator import MAX_STEPS, Steps
from criteria.jsonpath import Select
from store.records import Event

log = structlog.get_logger()

TURN = MAX_STEPS
"""Steps of evaluation after which a webhook's turn is over. What they are spent on is a sender's
choice."""


class Document(documents.Document):
    """An event's payload. A path that can't be evaluated selects nothing."""

    __slots__ = ()

    def keys(self, path: str, select: Select | None = None) -> frozenset[Key]:
        try:
            return super().keys(path, select)
        except Exception as error:  # one task's path must not hold up the event or other tasks
            log.error("a path can't be evaluated: it selects nothing", path=path, error=str(error))
            self._keys[path] = frozenset()
            return self._keys[path]


class Turns:
    """Each webhook's turn in a round: its events are decided until their evaluation has taken
    `TURN` steps."""

    def __init__(self) -> None:
        self._steps: defaultdict[str, Steps] = defaultdict(lambda: Steps(math.inf))
        self.put_off = False
        """Whether an event waits for its webhook's next turn."""

    def document(self, event: Event) -> Document:
        """The event's payload, evaluated in its webhook's turn. Raises ValueError if it can't be
        read."""
        return Document(event.document(), self._steps[event.webhook])

    def puts_off(self, event: Event) -> bool:
        """Whether its webhook's turn is over."""
        is_over = self.is_over(event.webhook)
        self.put_off |= is_over
        return is_over

    def is_over(self, webhook: str) -> bool:
        """Whether this webhook's turn is over."""
        return self._steps[webhook].taken >= TURN
