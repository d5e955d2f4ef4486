"""The equality of matches as docs/definitions.md tells it, sentence by sentence and slowly.

`comparison_key` must agree with it.
"""

from __future__ import annotations

import json
import math
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
    return Decimal(number) if isinstance(number, int) or math.isinf(number) else Decimal(repr(number))


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
