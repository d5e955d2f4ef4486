"""A payload in which paths are looked up: each once, and within what may be spent on it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

from criteria.equality import Key, comparison_key
from criteria.evaluator import Steps, TooCostly
from criteria.jsonpath import Select, compile_path

_CHARACTERS = 16
"""Characters that cost one step when an object or list is made comparable."""


class Document:
    """A payload (with `_webhook`) that several criteria are about."""

    __slots__ = ("_found", "_keys", "steps", "value")

    def __init__(self, value: Mapping[str, Any], steps: Steps | None = None):
        """`steps`: shared with other documents of the same question, or of the same sender."""
        self.value = value
        self.steps = Steps(math.inf) if steps is None else steps
        self._found: dict[str, list[Any]] = {}
        self._keys: dict[str, frozenset[Key]] = {}

    @classmethod
    def of(cls, payload: Payload) -> Document:
        """A document of the payload, unless it is one."""
        return payload if isinstance(payload, Document) else cls(payload)

    def found(self, path: str, select: Select | None = None) -> list[Any]:
        """What the path selects; `select` is the compiled path, if that is at hand.

        Raises TooCostly if the shared steps were spent before.
        """
        if path not in self._found:
            if self.steps.are_spent:
                raise TooCostly
            self._found[path] = (select or compile_path(path))(self.value, self.steps)
        return self._found[path]

    def keys(self, path: str, select: Select | None = None) -> frozenset[Key]:
        """The comparison keys of what the path selects, without null, which equals nothing; none if
        that would take more than `MAX_STEPS` steps: values may be parts of each other. Raises
        TooCostly as `found` does."""
        if path not in self._keys:
            self._keys[path] = self._compared(self.found(path, select))
        return self._keys[path]

    def _compared(self, values: list[Any]) -> frozenset[Key]:
        steps, keys = Steps(), set[Key]()
        try:
            for value in values:
                key = comparison_key(value)
                keys.add(key)
                if isinstance(key, tuple):
                    steps.take(len(key[0]) // _CHARACTERS)
        except TooCostly:
            keys.clear()
        self.steps.taken += steps.taken
        return frozenset(keys) - {None}


Payload: TypeAlias = Mapping[str, Any] | Document
"""A payload with `_webhook`."""
