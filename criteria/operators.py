"""Operators: an expected value that is a mapping whose keys begin with ``$``, as in ``{$gte: 10,
$lt: 20}``.

`when` and `only` know them; a task's `matches` don't. A path may select several values. Operators
that require a value (``$eq $in $gt $gte $lt $lte $regex``) hold if a single value meets all of
them. ``$ne``, ``$nin`` and ``$not`` are the opposites of ``$eq``, ``$in`` and the operators inside
``$not``, so they hold if the path selects nothing.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from criteria.equality import comparison_key, exact
from criteria.patterns import BadPattern, pattern_of
from criteria.suggestions import did_you_mean

Meets = Callable[[Any], bool]
"""Whether one value meets an operator."""

_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}
ORDERING = tuple(_ORDER)
_ASK = ("$eq", "$in", *_ORDER, "$regex")

SCHEMA_MARK = {"description": "operators; all must hold", "x-schema": "Operators"}
"""Represents `SCHEMA`, which refers to itself, in a model's schema."""
SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "operators; all must hold",
    "additionalProperties": False,
    "minProperties": 1,
    "properties": {
        "$eq": {"description": "equals this value, as a plain expected value does"},
        "$ne": {"description": "nothing there equals this value"},
        "$in": {"description": "equals one of these values", "type": "array"},
        "$nin": {"description": "nothing there equals one of these values", "type": "array"},
        "$gt": {"description": "is greater: a number than this number, a text than this text"},
        "$gte": {"description": "is greater or equal"},
        "$lt": {"description": "is less: a number than this number, a text than this text"},
        "$lte": {"description": "is less or equal"},
        "$exists": {
            "description": "whether there is anything at the path, null included",
            "type": "boolean",
        },
        "$regex": {"description": "is a text in which this RE2 pattern is found", "type": "string"},
        "$not": {"description": "these operators don't hold", **SCHEMA_MARK},
    },
}
for _name in ORDERING:
    SCHEMA["properties"][_name]["type"] = ["number", "string"]
NAMES = tuple(SCHEMA["properties"])
"""All operators."""

Fault = tuple[tuple[str, ...], str]
"""The keys that lead to what is wrong, and ``what is wrong; remedy``."""


class BadOperators(ValueError):
    """The operators can't be used; the text says why."""


def is_operators(expected: Any) -> bool:
    """Whether an expected value is a mapping of operators, right or wrong."""
    return isinstance(expected, Mapping) and any(
        isinstance(key, str) and key.startswith("$") for key in expected
    )


class Operators:
    """A mapping of operators, parsed."""

    __slots__ = ("_asks", "_denies", "_exists", "written")

    def __init__(self, written: Mapping[str, Any]):
        """Raises BadOperators."""
        for where, message in find_faults(written):
            raise BadOperators(f"{'.'.join(where)}: {message}")
        self.written = written
        self._asks: list[Meets] = [_meets(name, written[name]) for name in _ASK if name in written]
        self._exists: bool | None = written.get("$exists")
        self._denies: list[Operators] = [
            Operators(opposite)
            for name, opposite in (
                ("$ne", {"$eq": written.get("$ne")}),
                ("$nin", {"$in": written.get("$nin")}),
                ("$not", written.get("$not")),
            )
            if name in written and opposite is not None
        ]

    def holds(self, found: Sequence[Any]) -> bool:
        """Whether all of them hold for the values that the path selects."""
        if self._exists is not None and bool(found) is not self._exists:
            return False
        if self._asks and not any(all(meets(value) for meets in self._asks) for value in found):
            return False
        return not any(denied.holds(found) for denied in self._denies)

    def each(self) -> Iterator[tuple[str, Any, Operators]]:
        """Each operator by itself: name, operand, and its meaning."""
        for name, operand in self.written.items():
            yield name, operand, Operators({name: operand})

    def why_never(self) -> str | None:
        """Why no value meets them, where one look tells: null, an empty list, an empty range. None
        otherwise."""
        written = self.written
        if "$eq" in written and written["$eq"] is None:
            return "null equals nothing"
        if "$in" in written and all(value is None for value in written["$in"]):
            return "no value is in an empty list"
        return _empty_range(written)


def find_faults(written: Mapping[Any, Any]) -> Iterator[Fault]:
    """Everything that is wrong with a mapping of operators."""
    for name, operand in written.items():
        if not isinstance(name, str) or not name.startswith("$"):
            yield (
                (str(name),),
                "a plain key beside operators; to compare with an object write {$eq: {…}}",
            )
        elif name not in NAMES:
            yield (name,), f"unknown operator {name}; {did_you_mean(name, NAMES)}"
        elif name == "$not":
            if not is_operators(operand):
                yield (
                    (name,),
                    (
                        "not operators, of which $not is the opposite; write $ne, or such as"
                        " {$regex: ^test-}"
                    ),
                )
            else:
                for where, message in find_faults(operand):
                    yield (name, *where), message
        elif (fault := _operand_fault(name, operand)) is not None:
            yield (name,), fault


def _operand_fault(name: str, operand: Any) -> str | None:
    if name in ("$in", "$nin") and not isinstance(operand, list):
        return "not a list; write one such as [opened, closed]"
    if name == "$exists" and not isinstance(operand, bool):
        return (
            "neither true nor false; write true for a value that must be there, false for one that"
            " must not"
        )
    if name in _ORDER and not _is_number(operand) and not isinstance(operand, str):
        return (
            "neither a number nor text, which alone have an order; write one such as 10 or"
            ' "2026-01-31"'
        )
    if name == "$regex":
        if not isinstance(operand, str):
            return "not text; write a pattern such as ^refs/heads/, in quotes"
        try:
            pattern_of(operand)
        except BadPattern as error:
            return (
                f"{error}; fix it: patterns are RE2's, without look-around and references to groups"
            )
    return None


def _meets(name: str, operand: Any) -> Meets:
    if name in ("$eq", "$in"):
        keys = {comparison_key(one) for one in (operand if name == "$in" else [operand])} - {None}
        # An object isn't made comparable to be unequal to a text.
        if not any(isinstance(key, tuple) for key in keys):
            return lambda value: (
                not isinstance(value, (dict, list)) and comparison_key(value) in keys
            )
        return lambda value: comparison_key(value) in keys
    if name == "$regex":
        return pattern_of(operand).is_in
    compare = _ORDER[name]
    if isinstance(operand, str):
        return lambda value: isinstance(value, str) and compare(value, operand)
    number = exact(operand)
    return lambda value: _is_number(value) and compare(exact(value), number)


def _is_number(value: Any) -> bool:
    return (isinstance(value, float) and math.isfinite(value)) or (
        isinstance(value, int) and not isinstance(value, bool)
    )


def _empty_range(written: Mapping[str, Any]) -> str | None:
    """Why nothing lies between the bounds; None if something may."""
    bounds = {name: written[name] for name in _ORDER if name in written}
    if len({isinstance(bound, str) for bound in bounds.values()}) > 1:
        return "no value is ordered among numbers and among texts"

    def value(name: str) -> Any:
        bound = bounds[name]
        return bound if isinstance(bound, str) else exact(bound)

    for low in ("$gt", "$gte"):
        for high in ("$lt", "$lte"):
            if low in bounds and high in bounds:
                strict = (low, high) != ("$gte", "$lte")
                if value(low) > value(high) or (strict and value(low) == value(high)):
                    return f"nothing lies between {low} and {high}"
    return None
