"""Problems in the webhook definitions, with file, line and remedy."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from config.model import Webhook
from config.references import Stamp
from config.yaml_lines import Where
from criteria.suggestions import did_you_mean


@dataclass(frozen=True, order=True)
class Problem:
    """Something wrong (or, as a warning, risky) in a definition, with its remedy."""

    file: str
    line: int
    where: str
    what: str
    remedy: str
    warning: bool = False
    fails_check: bool = False
    """Whether `webhook-bridge check` fails for the warning, though the bridge runs with it."""

    @property
    def webhook(self) -> str:
        """The name of the webhook that it is about; empty if it is about none, or about one without
        a name."""
        kind, _, name = self.where.partition(":")[0].partition(" ")
        return name if kind == "webhook" else ""

    def __str__(self) -> str:
        kind = "warning: " if self.warning and not self.fails_check else ""
        return f"{self.file}:{self.line}: {self.where}: {kind}{self.what}; {self.remedy}"


@dataclass(frozen=True)
class ProblemAt:
    """Something wrong or risky at a place of a webhook."""

    place: Where
    what: str
    remedy: str
    warning: bool = False
    fails_check: bool = False


class DefinitionsError(Exception):
    """The webhook definitions can't be used: `problems` says why, `warnings` what is risky."""

    def __init__(
        self,
        problems: Iterable[Problem],
        warnings: Iterable[Problem] = (),
        sources: Mapping[Path, Stamp] = MappingProxyType({}),
    ):
        self.problems = tuple(sorted(problems))
        self.warnings = tuple(sorted(warnings))
        self.sources = dict(sources)
        """The files to watch for the edit that repairs them."""
        super().__init__("\n".join(map(str, self.problems)))


def dotted(where: Iterable[str | int]) -> str:
    """A place in people's notation: ``starts[0].when``."""
    text = ""
    for part in where:
        if isinstance(part, int) and not isinstance(part, bool):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else str(part)
    return text


_WORDS = {
    "dict_type": "not keys with values",
    "model_type": "not keys with values",
    "tuple_type": "not a list",
    "too_short": "empty",
    "string_too_short": "empty",
    "string_pattern_mismatch": "has characters that it can't have",
}
"""Our words for those of Pydantic's errors that are about Python."""


def describe_error(location: Where, kind: str, message: str) -> tuple[str, str]:
    """Pydantic's error in terms of the file: what is wrong, and the remedy."""
    model, field = _at(location)
    key = str(location[-1]) if location else ""
    example = field.examples[0] if field is not None and field.examples else None
    if kind == "extra_forbidden":
        return "unknown key", did_you_mean(key, fields_of(model))
    if kind == "missing":
        return "missing", f"add {key}: {'…' if example is None else _flow(example)}"
    what, _, remedy = message.removeprefix("Value error, ").partition("; ")
    return _WORDS.get(kind, what), remedy or (
        "correct the value" if example is None else f"write {_flow(example)}"
    )


def _at(location: Where) -> tuple[type[BaseModel], FieldInfo | None]:
    """The model that the place's last key belongs to, and the field that it names or is inside of."""
    model: type[BaseModel] = Webhook
    field: FieldInfo | None = None
    for name in location:
        if isinstance(name, int):
            continue
        if field is not None and (inner := _model_in(field.annotation)) is not None:
            model, field = inner, None
        if field is None:
            field = fields_of(model).get(name)
    return model, field


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that a field's value is, or has in a list; None if there is none."""
    if isinstance(annotation, type):
        return annotation if issubclass(annotation, BaseModel) else None
    return next(filter(None, map(_model_in, get_args(annotation))), None)


def fields_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The model's fields by their keys in the YAML."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _flow(value: Any) -> str:
    """The value as YAML on one line."""
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{_flow(key)}: {_flow_inside(item)}" for key, item in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow_inside, value)) + "]"
    return str(value)


def _flow_inside(value: Any) -> str:
    if isinstance(value, str) and set("{}$,:") & set(value):
        return json.dumps(value)
    return _flow(value)
