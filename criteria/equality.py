"""When two JSON values are equal, for `matches`, `when` and `only`: one definition,
`comparison_key`."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

Key = str | tuple[str] | None
"""The result of `comparison_key`: text for a scalar, a tuple for an object or list, None for null.
"""


def comparison_key(value: Any) -> Key:
    """Equal for values that a criterion considers equal, different for all others.

    Numbers are equal by value, a number or boolean equals the string of its shortest JSON text,
    strings are compared exactly, objects and lists by deep equality, and they never equal text.
    null equals nothing: its key is None.
    """
    if isinstance(value, str):
        return value
    if value is None:
        return None
    if isinstance(value, (dict, list)):
        return (_canonical(value),)
    return shortest_text(value)


def shortest_text(value: bool | int | float) -> str:
    """The shortest JSON text of a number or boolean; the same for numbers of the same value (1 and
    1.0)."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        if abs(value) < 10**21 or exact(as_float := _float(value)) != value:
            return str(value)
        value = as_float
    elif value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    mantissa, _, exponent = repr(value).partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


def exact(number: int | float) -> Decimal | int:
    """The number's exact value according to its JSON text: 0.1 is a tenth, 1e23 is 10**23."""
    return number if isinstance(number, int) else Decimal(repr(number))


def _float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return 0.0


def _canonical(value: Any) -> str:
    """JSON text that is the same for deeply equal values: sorted keys, numbers in their shortest
    form."""
    if isinstance(value, dict):
        return (
            "{"
            + ",".join(f"{json.dumps(key)}:{_canonical(value[key])}" for key in sorted(value))
            + "}"
        )
    if isinstance(value, list):
        return "[" + ",".join(map(_canonical, value)) + "]"
    if isinstance(value, (str, type(None))):
        return json.dumps(value)
    return shortest_text(value)
