"""How values are written in the YAML: one rule for page, API and command line.

Whatever somebody typed or sent is literal: ``${NAME}`` in it is text, and can't read anybody's
secret. A secret goes into a file, and the YAML refers to that. Only what was in the YAML before,
and references that the bridge makes itself, are written verbatim.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML

Keys = Mapping[str, Any]
"""A webhook's keys, to be written: literal values, `Secret` and `Verbatim`."""
Refer = Callable[[str, str], str]
"""Gets a secret and the key that it is under, and returns a reference to it."""


@dataclass(frozen=True)
class Secret:
    """A secret, which goes into a file of its own."""

    value: str = field(repr=False)


@dataclass(frozen=True)
class Verbatim:
    """A value that is written as it is, references included."""

    value: Any = field(repr=False)  # it may be a secret that the YAML contains


def verbatim(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Keys from the YAML, to be written unchanged."""
    return {key: Verbatim(value) for key, value in keys.items()}


def to_yaml_value(value: Any, refer: Refer, label: str = "") -> Any:
    """The value for the YAML."""
    match value:
        case Verbatim():
            return value.value
        case Secret():
            return refer(value.value, label)
        case str():
            return value.replace("${", "$${")
        case Mapping():
            return {
                to_yaml_value(key, refer): to_yaml_value(item, refer, str(key))
                for key, item in value.items()
            }
        case list() | tuple():
            return [to_yaml_value(item, refer, label) for item in value]
        case _:
            return value


def preview(keys: Keys) -> Any:
    """The keys as people may see them before they are written, with placeholders for secrets."""
    return to_yaml_value(keys, lambda secret, label: "${file:secrets/…}")


def as_yaml(value: Any) -> str:
    """The value as block YAML."""
    yaml = YAML()
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    stream = io.StringIO()
    yaml.dump(value, stream)
    return stream.getvalue()
