"""Equality and operators as docs/definitions.md tells them, sentence by sentence and slowly.

`comparison_key` and `Operators` must agree with it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any


def equal(found: Any, expected: Any) -> bool:
    """Whether a criterion with this expected value holds for this value found."""
    if expected is None or found is None:  # an expected null never holds; null is no value
        return False
    if isinstance(expected, str) and isinstance(found, str):
        return expected == found
    if isinstance(expected, str) and is_scalar(found):
        return shortest(found) == expected
    if isinstance(found, str) and is_scalar(expected):
        return shortest(expected) == found
    return deeply_equal(found, expected)


def deeply_equal(one: Any, other: Any) -> bool:
    """Values of the same kind, numbers by value; inside lists and objects null equals null."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return exact(one) == exact(other)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(deeply_equal, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(deeply_equal(one[key], other[key]) for key in one)
    return type(one) is type(other) and one == other


def is_scalar(value: Any) -> bool:
    """A number or boolean."""
    return isinstance(value, (bool, int, float))


def exact(number: float) -> Decimal:
    """The number's value as its JSON text says it: 0.1 is a tenth."""
    return (
        Decimal(number) if isinstance(number, int) or math.isinf(number) else Decimal(repr(number))
    )


def shortest(value: float) -> str:
    """The shortest JSON text that is usual: 1.0 is 1, and exponents are written as 1e21 and 1e-7."""
    if isinstance(value, bool):
        return "true" if value else "false"
    whole = exact(value) == exact(value).to_integral_value()
    if whole and (abs(exact(value)) < 10**21 or exact(value) != exact(as_float(value))):
        return str(int(exact(value)))
    return json.dumps(as_float(value)).replace("e+", "e").replace("e-0", "e-").replace(".0e", "e")


def as_float(value: float) -> float:
    """The nearest number that JSON readers usually know; 0 where there is none."""
    try:
        return float(value)
    except OverflowError:
        return 0.0


# --- operators ---


def holds(found: Sequence[Any], expected: Any) -> bool:
    """Whether `when` or `only` expects this of the values that its path selects."""
    if (
        isinstance(expected, Mapping)
        and expected
        and all(str(key).startswith("$") for key in expected)
    ):
        return all_hold(found, expected)
    return any(equal(value, expected) for value in found)


def all_hold(found: Sequence[Any], operators: Mapping[str, Any]) -> bool:
    """All of one mapping: one and the same value meets whatever asks for a value, and nothing else
    is broken."""
    asks = [
        name for name in operators if name in ("$eq", "$in", "$gt", "$gte", "$lt", "$lte", "$regex")
    ]
    if asks and not any(
        all(meets(value, name, operators[name]) for name in asks) for value in found
    ):
        return False
    for name, operand in operators.items():
        if name == "$exists" and bool(found) is not operand:
            return False
        if name == "$ne" and any(equal(value, operand) for value in found):
            return False
        if name == "$nin" and any(equal(value, one) for value in found for one in operand):
            return False
        if name == "$not" and all_hold(found, operand):
            return False
    return True


def meets(value: Any, name: str, operand: Any) -> bool:
    """Whether one value meets one operator that asks for a value."""
    if name == "$eq":
        return equal(value, operand)
    if name == "$in":
        return any(equal(value, one) for one in operand)
    if name == "$regex":
        # Where Python's patterns differ from RE2's: $ is the very end, and \\d knows ASCII.
        return (
            isinstance(value, str)
            and re.search(operand.replace("$", r"\Z"), value, re.ASCII) is not None
        )
    if isinstance(value, str) and isinstance(operand, str):
        before, same = [ord(c) for c in value] < [ord(c) for c in operand], value == operand
    elif is_number(value) and is_number(operand):
        before, same = exact(value) < exact(operand), exact(value) == exact(operand)
    else:
        return False
    return {
        "$lt": before,
        "$lte": before or same,
        "$gt": not before and not same,
        "$gte": not before,
    }[name]


def is_number(value: Any) -> bool:
    """A number; true and false are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)
