"""What the models of definitions are made of: `StrictModel`, and types of values, which validate
themselves.

A message is "what is wrong; remedy".
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    SecretStr,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from config.urls import check_network, parts_of
from criteria.inputs import find_faults as find_input_faults
from criteria.jsonpath import compile_path
from criteria.operators import NAMES, SCHEMA_MARK, Operators, find_faults, is_operators

if TYPE_CHECKING:
    from typing_extensions import LiteralString

TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"  # noqa: S105 - a pattern
"""A pattern of HTTP's tokens: headers' names, the words of a media type."""
_TOPIC = r"^arn:aws(-[a-z]+)*:sns:([a-z0-9-]+|[*]):[0-9]{12}:([A-Za-z0-9_.-]{1,256}|[*])$"
_MEMBERS = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*|\[\d+\])*")


def error_detail(
    kind: LiteralString, message: str, place: tuple[str | int, ...]
) -> InitErrorDetails:
    """An error without the input, which may be a secret."""
    return InitErrorDetails(
        type=PydanticCustomError(kind, "{text}", {"text": message}), loc=place, input=None
    )


def raise_faults(title: str, faults: Iterable[tuple[tuple[str | int, ...], str]]) -> None:
    """Raises ValidationError, with a line of its own for each fault (place and message), if there
    are any."""
    details = [error_detail("rule", message, place) for place, message in faults]
    if details:
        raise ValidationError.from_exception_data(title, details, hide_input=True)


class StrictModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @classmethod
    def rules(cls, written: Mapping[str, Any]) -> Iterator[tuple[str | None, str]]:
        """The violated rules about several keys: the key to point at (None for the whole), and the
        message."""
        return iter(())

    @model_validator(mode="wrap")
    @classmethod
    def _all_at_once(cls, value: Any, handler: ModelWrapValidatorHandler[Any]) -> Any:
        """Validates, and adds violated rules to the errors of single keys."""
        details: list[InitErrorDetails] = []
        if isinstance(value, dict):
            written = {key: item for key, item in value.items() if item is not None}
            details.extend(
                error_detail("rule", message, () if key is None else (key,))
                for key, message in cls.rules(written)
            )
        model = None
        try:
            model = handler(value)
        except ValidationError as error:
            details.extend(
                error_detail(found["type"], found["msg"], found["loc"])
                for found in error.errors(include_url=False, include_input=False)
            )
        if details:
            raise ValidationError.from_exception_data(cls.__name__, details, hide_input=True)
        return model


def _check_path(value: str) -> str:
    try:
        compile_path(value)
    except ValueError as error:
        raise ValueError(f"{error}; write one such as $.event.type or $['event']['type']") from None
    return value


def why_unrooted(path: str) -> tuple[str, str] | None:
    """What is wrong with a path that doesn't begin with ``$``, and the remedy; None if it does."""
    if path.lstrip().startswith("$"):
        return None
    remedy = "write one such as $.event.type"
    if _MEMBERS.fullmatch(path.strip()):
        remedy = f"write $.{path.strip()}"
    return f"{path[:40]!r} doesn't begin with $, as a JSONPath does", remedy


def _check_rooted(value: str) -> str:
    unrooted = why_unrooted(value)
    if unrooted is not None:
        raise ValueError("; ".join(unrooted))
    return value


def _check_url(value: str) -> str:
    parts = parts_of(value)
    if parts is None or parts.fragment:
        raise ValueError(
            f"{value!r} is not a URL; write it whole, such as"
            " https://hooks.example.com/webhook/NAME"
        )
    return value


def _as_secret(value: object) -> object:
    if value is None or value == "":
        raise ValueError(
            "an empty secret, with which anyone could send; give one of at least 16 random"
            " characters"
        )
    if isinstance(value, (bool, int, float)):
        raise ValueError("a number or boolean, not text; put it in quotes")
    return SecretStr(value) if isinstance(value, str) else value


def _check_header_value(value: object) -> object:
    if isinstance(value, str) and (
        value != value.strip() or any(character in value for character in "\r\n\0")
    ):
        raise ValueError(
            "a value that no header can have: it starts or ends with a space, or has a line break;"
            " fix it"
        )
    return value


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else (value,)


def from_list(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _as_network(value: object) -> object:
    try:
        return ip_network(str(value))
    except ValueError as error:
        raise ValueError(f"{error}; write a network such as 192.0.2.0/24, or an address") from None


LARGEST_VERSION = 2**31 - 1
"""Conductor keeps versions in Java's int."""


def _versions(value: object) -> object:
    if value == "any":
        return None
    numbers = value if isinstance(value, (list, set, frozenset)) else [value]
    if not numbers or not all(type(number) is int and number > 0 for number in numbers):
        raise ValueError(
            "not versions of a workflow; write any, a version such as 2, or a list such as [1, 2]"
        )
    if max(numbers) > LARGEST_VERSION:
        raise ValueError(
            f"no version of a workflow: Conductor's go up to {LARGEST_VERSION}; write one such as 2"
        )
    return frozenset(numbers)


def _check_expected(value: object) -> object:
    """Operators are checked one by one, so that each error has its own line."""
    if is_operators(value):
        assert isinstance(value, dict)
        raise_faults("operators", find_faults(value))
    elif isinstance(value, dict) and (inner := _inner_operator(value)) is not None:
        raise ValueError(
            f"the operator {inner} deep inside an object; operators belong directly below a path:"
            " use the longer path, or {$eq: {…}} to compare with the object"
        )
    return value


def _check_input(value: object) -> object:
    """Checked part by part, so that each error has its own line."""
    raise_faults("input", find_input_faults(value))
    return value


def _inner_operator(value: object) -> str | None:
    if isinstance(value, dict):
        return next((key for key in value if key in NAMES), None) or next(
            filter(None, map(_inner_operator, value.values())), None
        )
    return None


def may_hold(otherwise: str) -> AfterValidator:
    """Refuses an expected value, or operators, that can never hold; `otherwise` is what would come
    of it."""

    def check(value: object) -> object:
        never = "null equals nothing" if value is None else None
        if isinstance(value, dict) and is_operators(value):
            never = Operators(value).why_never()
        if never is not None:
            raise ValueError(
                f"this can never hold, so {otherwise}: {never}; correct it, or remove it"
            )
        return value

    return AfterValidator(check)


def check_answer(value: object) -> object:
    if not isinstance(value, (str, dict, list)):
        raise ValueError(
            "neither text nor a mapping or list; write thanks, in quotes if it is a number"
        )
    return value


def _schema_of(kind: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [kind, {"type": "array", "items": kind, "minItems": 1}]}


def is_key(secret: str, encoding: object) -> bool:
    """Whether the text is a key in that encoding: ``hex`` or ``base64``; any text is one
    otherwise."""
    try:
        if encoding == "hex":
            return bool(binascii.unhexlify(secret.strip()))
        return encoding != "base64" or bool(base64.b64decode(secret.strip(), validate=True))
    except ValueError:
        return False


Name = Annotated[str, Field(min_length=1)]
Names = Annotated[
    tuple[Name, ...],
    BeforeValidator(_as_tuple),
    Field(min_length=1),
    WithJsonSchema(_schema_of({"type": "string", "minLength": 1})),
]
"""One name, or several, any of which will do."""
URL_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,127}")
"""The last part of a webhook's URL. A file of definitions may have its name, so no path is one."""
UrlPart = Annotated[str, Field(pattern=f"^{URL_PART.pattern}$")]
Secret = Annotated[
    SecretStr, BeforeValidator(_as_secret), WithJsonSchema({"type": "string", "minLength": 1})
]
HeaderName = Annotated[str, Field(pattern=f"^{TOKEN}$")]
HeaderValues = Annotated[
    tuple[Annotated[Secret, BeforeValidator(_check_header_value)], ...],
    BeforeValidator(_as_tuple),
    Field(min_length=1),
    WithJsonSchema(_schema_of({"type": "string", "minLength": 1})),
]
"""A header's value, or several while it is being rotated: any of them counts."""
JsonPath = Annotated[str, AfterValidator(_check_path)]
"""Also without the ``$`` at its beginning, about which `config.risks` warns."""
RootedPath = Annotated[str, AfterValidator(_check_rooted), AfterValidator(_check_path)]
"""A path that begins with ``$``: without it, a text could be meant as a constant."""
Url = Annotated[str, AfterValidator(_check_url)]
Secrets = Annotated[
    tuple[Secret, ...],
    BeforeValidator(_as_tuple),
    Field(min_length=1),
    WithJsonSchema(_schema_of({"type": "string", "minLength": 1})),
]
"""One secret, or several while one is being rotated: a signature by any of them counts."""
Topics = Annotated[
    tuple[Annotated[str, Field(pattern=_TOPIC)], ...],
    BeforeValidator(_as_tuple),
    Field(min_length=1),
    WithJsonSchema(_schema_of({"type": "string", "pattern": _TOPIC})),
]
Network = Annotated[
    IPv4Network | IPv6Network,
    BeforeValidator(_as_network),
    AfterValidator(check_network),
    WithJsonSchema({"type": "string"}),
]
_VERSION_SCHEMA = {"type": "integer", "minimum": 1, "maximum": LARGEST_VERSION}
Versions = Annotated[
    frozenset[int] | None,
    BeforeValidator(_versions),
    WithJsonSchema({"anyOf": [{"const": "any"}, *_schema_of(_VERSION_SCHEMA)["anyOf"]]}),
]
"""The versions of a workflow, or None for any."""

Expected = Annotated[
    Any,
    BeforeValidator(_check_expected),
    WithJsonSchema(
        {
            "anyOf": [
                SCHEMA_MARK,
                {"type": ["string", "number", "boolean", "array", "null"]},
                {"type": "object", "propertyNames": {"not": {"pattern": "^\\$"}}},
            ]
        }
    ),
]
"""A value to equal, or a mapping of operators."""

Input = Annotated[dict[str, Any], BeforeValidator(_check_input), WithJsonSchema({"type": "object"})]
"""What a start's workflow gets: constants, and JSONPaths that stand for what they select."""
