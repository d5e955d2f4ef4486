"""Problems in the webhook definitions, with file, line and remedy."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from config.callbacks import Callback
from config.file_stamps import Stamp
from config.messages import Message
from config.model import Webhook
from config.payload_keys import SchemaFile
from config.proof_keys import Challenge, Dedup, Jwt, Mtls, Signature
from config.respond import Respond
from config.starts import Once, Start
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

    def is_about(self, webhook: str) -> bool:
        """Whether it is about the webhook with this name."""
        return self.where.split(":")[0] == f"webhook {webhook}"

    def __str__(self) -> str:
        kind = "warning: " if self.warning and not self.fails_check else ""
        return f"{self.file}:{self.line}: {self.where}: {kind}{self.what}; {self.remedy}"


class Problems:
    """The problems found so far, each once, in the order in which they were found."""

    def __init__(self) -> None:
        self._found: list[Problem] = []
        self._known: set[Problem] = set()

    def add(self, problem: Problem) -> None:
        """Adds it, unless it is among them."""
        if problem not in self._known:
            self._known.add(problem)
            self._found.append(problem)

    def since(self, number: int) -> list[Problem]:
        """Those after the first `number`."""
        return self._found[number:]

    def errors(self, since: int = 0) -> list[Problem]:
        """Those after the first `since` that aren't warnings."""
        return [problem for problem in self.since(since) if not problem.warning]

    def warnings(self) -> list[Problem]:
        """Those that are warnings."""
        return [problem for problem in self._found if problem.warning]

    def __len__(self) -> int:
        return len(self._found)


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
        text += f"[{part}]" if isinstance(part, int) and not isinstance(part, bool) else f"{'.' if text else ''}{part}"
    return text


def describe_error(location: Where, kind: str, message: str, context: Mapping[str, Any]) -> tuple[str, str]:
    """Pydantic's error in terms of the file: what is wrong, and the remedy."""
    model, field = _at(location)
    key = str(location[-1]) if location else ""
    example = field.examples[0] if field is not None and field.examples else None
    write = f"write {_flow(example)}" if example is not None else "correct the value"
    match kind:
        case "extra_forbidden":
            return "unknown key", did_you_mean(key, _fields(model))
        case "missing":
            return "missing", f"add {key}: {_flow(example) if example is not None else '…'}"
        case "string_type":
            return (
                "not text",
                "put it in quotes" if example is None else f"{write}, in quotes if it is a number",
            )
        case "bool_type":
            return "neither true nor false", "write true or false"
        case "int_type" | "int_from_float":
            return "not a whole number", write.replace("write", "write one such as")
        case "greater_than_equal":
            return f"less than {context.get('ge')}", write
        case "less_than_equal":
            return f"more than {context.get('le')}", write
        case "literal_error":
            return "an unknown value", f"write {str(context.get('expected')).replace(chr(39), '')}"
        case "dict_type" | "model_type" | "model_attributes_type":
            return "not keys with values", write
        case "tuple_type":
            return "not a list", write
        case "too_short" | "string_too_short":
            return "empty", write
    what, _, remedy = message.removeprefix("Value error, ").partition("; ")
    return what, remedy or write


def rewritten(location: Where, written: Any) -> str | None:
    """How to write the workflows that were written in another form; None for what isn't such a form."""
    names = [written] if isinstance(written, str) else written
    if not isinstance(names, list) or not names:
        return None
    if location == ("receivers",):
        entries = [{one: "any"} if isinstance(one, str) else one for one in names]
        if all(isinstance(one, dict) for one in entries):
            return f"write {_flow({key: value for one in entries for key, value in one.items()})}"
    if location == ("starts",) and isinstance(written, str):
        return f"write {_flow([{'workflow': written}])}"
    if len(location) == 2 and location[0] == "starts" and isinstance(written, str):
        return f"write {_flow({'workflow': written})}"
    return None


_NESTED: dict[tuple[type[BaseModel], str], type[BaseModel]] = {
    (Webhook, "starts"): Start,
    (Webhook, "messages"): Message,
    (Webhook, "callback"): Callback,
    (Webhook, "signature"): Signature,
    (Webhook, "dedup"): Dedup,
    (Webhook, "jwt"): Jwt,
    (Webhook, "mtls"): Mtls,
    (Webhook, "challenge"): Challenge,
    (Webhook, "respond"): Respond,
    (Webhook, "schema"): SchemaFile,
    (Start, "once"): Once,
}


def _at(location: Where) -> tuple[type[BaseModel], FieldInfo | None]:
    """The model that the place's last key belongs to, and the field that it names or is inside of."""
    model: type[BaseModel] = Webhook
    field: FieldInfo | None = None
    names = [part for part in location if not isinstance(part, int)]
    for depth, name in enumerate(names):
        field = _fields(model).get(name, field)
        if depth < len(names) - 1 and (model, name) in _NESTED:
            model, field = _NESTED[model, name], None
    return model, field


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The model's fields by their keys in the YAML."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _flow(value: Any) -> str:
    """The value as YAML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow(key)}: {_flow_inside(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow_inside, value)) + "]"
    return str(value)


def _flow_inside(value: Any) -> str:
    return json.dumps(value) if isinstance(value, str) and set("{}$,:") & set(value) else _flow(value)
