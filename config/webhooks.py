"""Webhook definitions: the model of one webhook, and the loader that reads a YAML file or folder.

The loader finds every problem at once and says file, line and remedy for each (`Problem`).
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from config.durations import Duration, Size
from config.jsonpath import compile_path
from config.yaml_lines import BadYaml, Located, read_yaml

DEFAULT_HOLD = 600.0
"""Seconds that an event without a taker is held, unless its webhook says otherwise."""
DEFAULT_MAX_BODY = 1024 * 1024
"""Bytes of a body, unless the webhook or its platform says otherwise."""
DEFAULT_TOLERANCE = 300.0
"""Seconds that a signed timestamp may be away from now, unless the webhook or its platform says otherwise."""

_URL_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,127}")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


# --- the model ---------------------------------------------------------------------------------------------


def _check_url_part(value: str) -> str:
    if not _URL_PART.fullmatch(value):
        raise ValueError(f"{value!r} can't be part of a URL; use letters, digits, '-', '_', '.' or '~'")
    return value


def _check_header_name(value: str) -> str:
    if not _HEADER_NAME.fullmatch(value):
        raise ValueError(f"{value!r} is not a header's name")
    return value


def _check_path(value: str) -> str:
    compile_path(value)
    return value


def _as_secret(value: object) -> object:
    if value is None or value == "":
        raise ValueError("an empty secret, with which anyone could sign; give one of at least 16 random characters")
    if isinstance(value, (bool, int, float)):
        raise ValueError("a secret is text; put it in quotes")
    return SecretStr(value) if isinstance(value, str) else value


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else (value,)


def _from_list(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _as_network(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("write a network such as 192.0.2.0/24 or an address")
    try:
        return ip_network(value)
    except ValueError as error:
        raise ValueError(f"{error}; write a network such as 192.0.2.0/24 or an address") from None


def _versions(value: object) -> object:
    if value == "any":
        return None
    numbers = value if isinstance(value, list) else [value]
    if not numbers or not all(type(number) is int and number > 0 for number in numbers):
        raise ValueError("write any, a version such as 2, or a list of versions such as [1, 2]")
    return frozenset(numbers)


UrlPart = Annotated[str, AfterValidator(_check_url_part), Field(json_schema_extra={"pattern": _URL_PART.pattern})]
HeaderName = Annotated[str, AfterValidator(_check_header_name)]
JsonPath = Annotated[str, AfterValidator(_check_path)]
Secret = Annotated[SecretStr, BeforeValidator(_as_secret), WithJsonSchema({"type": "string"})]
Secrets = Annotated[
    tuple[Secret, ...],
    BeforeValidator(_as_tuple),
    Field(min_length=1),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]
"""One secret, or several while one is being rotated: any of them may have signed."""


Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_as_network), WithJsonSchema({"type": "string"})]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True)


class Start(_Model):
    """A workflow that the webhook starts."""

    workflow: str = Field(min_length=1, description="the workflow's name in Conductor")
    version: int | None = Field(None, ge=1, description="the version to start; the latest by default")
    when: dict[JsonPath, Any] = Field({}, description="JSONPath → expected value; all must hold, as in a task's matches")


class Signature(_Model):
    """An HMAC scheme of a custom sender."""

    secret: Secrets = Field(description="the key, or a list of keys while one is being rotated")
    header: HeaderName = Field(description="the header that carries the signature")
    algorithm: Literal["sha1", "sha256", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = Field("", description="text before the signature, such as sha256=")
    signed: str = Field("{body}", description="what is signed: text with {body} and, if there is one, {timestamp}")
    timestamp_header: HeaderName | None = Field(None, description="the header that carries the timestamp (Unix seconds)")
    tolerance: Duration = Field(DEFAULT_TOLERANCE, description="how old or early the timestamp may be")

    @field_validator("signed")
    @classmethod
    def _check_signed(cls, value: str) -> str:
        unknown = set(re.findall(r"\{([^{}]*)\}", value)) - {"body", "timestamp"}
        if unknown or "{body}" not in value:
            raise ValueError("`signed` is text with {body} and, if needed, {timestamp}, such as \"{timestamp}.{body}\"")
        return value

    @model_validator(mode="after")
    def _timestamp_has_a_header(self) -> Signature:
        if "{timestamp}" in self.signed and self.timestamp_header is None:
            raise ValueError("`signed` has {timestamp}; say with `timestamp_header` which header carries it")
        return self


class Dedup(_Model):
    """Where a custom sender puts the id that repeats when it delivers again."""

    header: HeaderName | None = Field(None, description="a header")
    path: JsonPath | None = Field(None, description="a JSONPath into the payload")

    @model_validator(mode="after")
    def _one_place(self) -> Dedup:
        if (self.header is None) == (self.path is None):
            raise ValueError("write either header: NAME or path: JSONPATH")
        return self


Versions = Annotated[
    frozenset[int] | None,
    BeforeValidator(_versions),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": "any"},
                {"type": "integer", "minimum": 1},
                {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1},
            ]
        }
    ),
]
"""The versions of a workflow, or None for any."""


class Webhook(_Model):
    """One webhook: a URL, how its deliveries are verified, and which workflows its events reach."""

    name: UrlPart = Field(description="unique; the URL is /webhook/NAME")
    id: UrlPart | None = Field(None, description="another last part for the URL")
    platform: str = Field("custom", description="who sends: decides how deliveries are verified and answered")
    secret: Secrets | None = Field(None, description="the platform's signing secret, or a list while it is being rotated")
    verify_token: Secret | None = Field(None, description="facebook: the token of the subscription's challenge")
    audience: str | None = Field(None, description="google-pubsub: the audience of the push subscription's token")
    service_account: str | None = Field(None, description="google-pubsub: the e-mail of the account that signs the token")
    headers: dict[HeaderName, Secret] | None = Field(None, min_length=1, description="headers that every delivery must carry, with their values")
    signature: Signature | None = Field(None, description="the HMAC scheme of a custom sender")
    challenge: str | None = Field(
        None, description="custom senders: the query parameter or JSON field whose value is answered as plain text"
    )
    verifier: Literal["none"] | None = Field(None, description="none: deliveries are not verified at all")
    receivers: dict[str, Versions] = Field(
        {}, description="workflows whose WAIT_FOR_WEBHOOK tasks the webhook may complete: name → any, version or versions"
    )
    starts: Annotated[tuple[Start, ...], BeforeValidator(_from_list)] = Field((), description="workflows that the webhook starts")
    hold: Duration = Field(DEFAULT_HOLD, description="how long an event that no task waits for is held; 0s turns it off")
    dedup: Dedup | None = Field(None, description="custom senders: where the delivery id is")
    split: bool = Field(False, description="a top-level JSON array becomes one event an element")
    max_body: Size | None = Field(None, description="the largest body; the platform's own limit by default")
    allow_ips: Annotated[tuple[Network, ...], BeforeValidator(_from_list)] = Field((), description="networks that may post; all by default")
    metadata: bool = Field(True, description="false leaves _webhook out of outputs and inputs")
    public_url: str | None = Field(
        None, description="the webhook's whole URL as the platform calls it, for signatures that cover the URL"
    )
    tolerance: Duration | None = Field(None, description="how old or early a signed timestamp may be")


    @property
    def url_id(self) -> str:
        """The last part of the webhook's URL."""
        return self.id or self.name

    @model_validator(mode="after")
    def _goes_somewhere(self) -> Webhook:
        if not self.receivers and not self.starts:
            raise ValueError(
                "neither `receivers` nor `starts`: its events would reach nothing; "
                "add receivers: {WORKFLOW: any}, or starts: [{workflow: WORKFLOW}]"
            )
        return self


class WebhooksFile(_Model):
    """The YAML file of the admins."""

    webhooks: tuple[Webhook, ...] = Field(description="the webhooks, each with a URL of its own")


# --- what a platform asks of a definition -------------------------------------------------------------------


class PlatformRules(Protocol):
    """What the loader must know of a platform; `relay.platforms` has them all."""

    @property
    def name(self) -> str: ...

    @property
    def required(self) -> frozenset[str]:
        """Settings that a webhook of this platform needs, such as ``secret``."""

    @property
    def options(self) -> frozenset[str]:
        """Settings of their own kind that the platform understands beside the required ones."""

    @property
    def challenge_only(self) -> bool:
        """Whether an answered challenge can stand in for the required settings."""


_PLATFORM_SETTINGS = ("secret", "verify_token", "audience", "service_account", "signature", "challenge", "dedup")
"""Settings that only some platforms understand."""


# --- problems -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, order=True)
class Problem:
    """Something wrong (or, as a warning, risky) in a definition, with its remedy."""

    file: str
    line: int
    where: str
    what: str
    remedy: str
    warning: bool = False

    def __str__(self) -> str:
        kind = "warning: " if self.warning else ""
        return f"{self.file}:{self.line}: {self.where}: {kind}{self.what}; {self.remedy}"


class DefinitionsError(Exception):
    """The webhook definitions can't be used."""

    def __init__(self, problems: Iterable[Problem]):
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(map(str, self.problems)))


@dataclass(frozen=True)
class Definitions:
    """A set of webhooks that was read without an error."""

    webhooks: tuple[Webhook, ...]
    warnings: tuple[Problem, ...] = ()
    sources: tuple[Path, ...] = ()
    """The files that it was read from, those of `${file:…}` included."""

    @cached_property
    def by_name(self) -> dict[str, Webhook]:
        """name → webhook."""
        return {webhook.name: webhook for webhook in self.webhooks}

    @cached_property
    def by_url_id(self) -> dict[str, Webhook]:
        """last part of the URL → webhook."""
        return {webhook.url_id: webhook for webhook in self.webhooks}


# --- the loader ---------------------------------------------------------------------------------------------


def load_definitions(
    path: Path,
    platforms: Mapping[str, PlatformRules] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Definitions:
    """Reads the YAML file, or every ``*.yaml`` file of the folder, in the order of their names.

    `platforms` are checked against when given (the worker, which verifies nothing, does without); `environment` is
    where ``${NAME}`` comes from, the process's own by default.

    Raises DefinitionsError with every problem that was found.
    """
    loader = _Loader(platforms, os.environ if environment is None else environment)
    files = _files(path)
    for file in files:
        loader.read(file)
    loader.check_unique()
    errors = [problem for problem in loader.problems if not problem.warning]
    if errors:
        raise DefinitionsError(errors)
    warnings = sorted(problem for problem in loader.problems if problem.warning)
    return Definitions(
        tuple(webhook for webhook, _, _ in loader.webhooks), tuple(warnings), (path, *files, *loader.secret_files)
    )


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        files = sorted(file for file in path.glob("*.yaml") if file.is_file())
        if not files:
            raise DefinitionsError(
                [Problem(str(path), 1, "webhooks", "the folder has no *.yaml file", "add one with a list `webhooks:`")]
            )
        return files
    if not path.exists():
        raise DefinitionsError(
            [Problem(str(path), 1, "webhooks", "no such file or folder", "create it, or set BRIDGE_WEBHOOKS to yours")]
        )
    return [path]


_REFERENCE = re.compile(r"\$\$\{|\$\{([^{}]*)\}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class _Loader:
    def __init__(self, platforms: Mapping[str, PlatformRules] | None, environment: Mapping[str, str]):
        self.platforms = platforms
        self.environment = environment
        self.problems: list[Problem] = []
        self.webhooks: list[tuple[Webhook, str, int]] = []
        self.secret_files: list[Path] = []
        self._places: dict[tuple[str, str], tuple[str, int]] = {}

    def read(self, file: Path) -> None:
        try:
            document = read_yaml(file)
        except BadYaml as error:
            self._problem(file, error.line, "YAML", str(error), "mend the text at this line")
            return
        except OSError as error:
            self._problem(file, 1, "YAML", f"can't be read: {error.strerror}", "make the file readable for the bridge")
            return
        if not isinstance(document.value, dict) or not isinstance(document.value.get("webhooks"), list):
            self._problem(file, 1, "webhooks", "no list of webhooks", "start the file with `webhooks:` and a list below it")
            return
        for key in document.value:
            if key != "webhooks":
                self._problem(
                    file, document.line((key,)), str(key), "unknown key", "only `webhooks` may stand at the top"
                )
        for index, item in enumerate(document.value["webhooks"]):
            self._read_webhook(file, document, index, item)

    def _read_webhook(self, file: Path, document: Located, index: int, item: Any) -> None:
        place: tuple[str | int, ...] = ("webhooks", index)
        label = f"webhook {item['name']}" if isinstance(item, dict) and "name" in item else f"webhooks[{index}]"
        if not isinstance(item, dict):
            self._problem(file, document.line(place), label, "not a webhook", "write name, platform and receivers below a dash")
            return
        before = len(self.problems)
        resolved = self._resolve(item, file, document, place, label)
        try:
            webhook = Webhook.model_validate(resolved)
        except ValidationError as error:
            unresolved = {(problem.line, problem.where) for problem in self.problems[before:]}
            for detail in error.errors(include_input=False, include_url=False):
                found = _explain(dict(detail), document, place, label, file)
                if (found.line, found.where) not in unresolved:
                    self.problems.append(found)
            return
        self._check_platform(file, document, place, label, webhook)
        self.webhooks.append((webhook, str(file), document.line(place)))

    def _resolve(self, value: Any, file: Path, document: Located, place: tuple[str | int, ...], label: str) -> Any:
        """The value with every ${NAME} and ${file:PATH} replaced; what can't be becomes a problem."""
        if isinstance(value, dict):
            return {key: self._resolve(item, file, document, (*place, key), label) for key, item in value.items()}
        if isinstance(value, list):
            return [self._resolve(item, file, document, (*place, number), label) for number, item in enumerate(value)]
        if not isinstance(value, str) or "${" not in value:
            return value

        def replace(match: re.Match[str]) -> str:
            reference = match[1]
            if reference is None:  # $${ is a literal ${
                return "${"
            text, what, remedy = self._look_up(reference, file)
            if text is None:
                where = f"{label}: {_dotted(place[2:])}"
                self._problem(file, document.line(place), where, what, remedy)
                return "unresolved"
            return text

        return _REFERENCE.sub(replace, value)

    def _look_up(self, reference: str, file: Path) -> tuple[str | None, str, str]:
        if reference.startswith("file:"):
            name = Path(reference.removeprefix("file:"))
            path = name if name.is_absolute() else file.parent / name
            self.secret_files.append(path)
            try:
                text = path.read_text(encoding="utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "not UTF-8 text"
                return None, f"the file {name} can't be read: {reason}", "create it, readable for the bridge"
            if not text:
                return None, f"the file {name} is empty", "write the secret into it"
            return text, "", ""
        if not _VARIABLE.fullmatch(reference):
            return None, f"${{{reference}}} names no variable", "write ${NAME} or ${file:PATH}, or $${ for a literal ${"
        text = self.environment.get(reference)
        if not text:
            return None, f"the environment variable {reference} is not set", f"set it, or put {reference}=… into .env"
        return text, "", ""

    def _check_platform(
        self, file: Path, document: Located, place: tuple[str | int, ...], label: str, webhook: Webhook
    ) -> None:
        if self.platforms is None:
            return

        def problem(setting: str, what: str, remedy: str, warning: bool = False) -> None:
            where = f"{label}: {setting}"
            self._problem(file, document.line((*place, setting)), where, what, remedy, warning)

        rules = self.platforms.get(webhook.platform)
        if rules is None:
            near = difflib.get_close_matches(webhook.platform, self.platforms, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}? " if near else ""
            problem("platform", f"unknown platform {webhook.platform!r}", f"{hint}known are {', '.join(sorted(self.platforms))}")
            return
        given = {setting for setting in _PLATFORM_SETTINGS if getattr(webhook, setting) is not None}
        for setting in sorted(given - rules.required - rules.options):
            understood = ", ".join(sorted(rules.required | rules.options)) or "none of these settings"
            problem(setting, f"platform {rules.name} has no `{setting}`", f"remove it ({rules.name} understands {understood})")
        if webhook.verifier == "none":
            problem(
                "verifier",
                "deliveries are not verified: anyone who knows the URL can post",
                "prefer a secret; or restrict senders with allow_ips",
                warning=True,
            )
            return
        missing = sorted(rules.required - given)
        by_challenge = rules.challenge_only or webhook.challenge is not None
        if missing and not by_challenge:
            if webhook.headers is None and webhook.signature is None:
                for setting in missing:
                    problem(
                        setting,
                        f"platform {rules.name} needs `{setting}`",
                        f"add {setting}: ${{NAME}}, or say verifier: none to accept anything",
                    )
        elif missing or (by_challenge and not given & {"secret", "signature"}):
            if webhook.headers is None:
                problem(
                    "platform",
                    "no signing secret: once the challenge has come, anyone who knows the URL can post",
                    "add secret: ${NAME}",
                    warning=True,
                )
        elif not rules.required and not given & {"secret", "signature"} and webhook.headers is None:
            problem(
                "platform",
                "nothing verifies its deliveries",
                "add headers: or signature:, or say verifier: none to accept anything",
            )

    def check_unique(self) -> None:
        for kind in ("name", "URL"):
            seen: dict[str, tuple[str, int]] = {}
            for webhook, file, line in self.webhooks:
                key = webhook.name if kind == "name" else webhook.url_id
                if key in seen:
                    first_file, first_line = seen[key]
                    what = f"the {kind} {key if kind == 'name' else '/webhook/' + key} is taken"
                    remedy = f"it is used at {first_file}:{first_line} already; choose another"
                    if kind == "name" or all(other.name != webhook.name for other, f, n in self.webhooks if (f, n) == seen[key]):
                        self._problem(file, line, f"webhook {webhook.name}", what, remedy)
                else:
                    seen[key] = (file, line)

    def _problem(self, file: Path | str, line: int, where: str, what: str, remedy: str, warning: bool = False) -> None:
        self.problems.append(Problem(str(file), line, where, what, remedy, warning))


def _dotted(where: Iterable[str | int]) -> str:
    text = ""
    for part in where:
        text += f"[{part}]" if isinstance(part, int) else f"{'.' if text else ''}{part}"
    return text


def _explain(
    detail: dict[str, Any], document: Located, place: tuple[str | int, ...], label: str, file: Path
) -> Problem:
    """Pydantic's finding in the words of the file: where, what is wrong, what to do."""
    location = tuple(part for part in detail["loc"] if part != "[key]")
    if location == ("secret", 0) and (*place, "secret", 0) not in document.lines:
        location = ("secret",)
    line = document.line((*place, *location))
    where = f"{label}: {_dotted(location)}" if location else label
    message = detail["msg"].removeprefix("Value error, ")
    kind = detail["type"]
    if kind == "extra_forbidden":
        model = _model_at(location)
        near = difflib.get_close_matches(str(location[-1]), model.model_fields, n=1, cutoff=0.6)
        hint = f"did you mean `{near[0]}`? " if near else ""
        return Problem(str(file), line, where, "unknown key", f"{hint}known are {', '.join(model.model_fields)}")
    if kind == "missing":
        return Problem(str(file), line, where, "missing", f"add {location[-1]}: …")
    what, _, remedy = message.partition("; ")
    return Problem(str(file), line, where, what, remedy or "correct the value")


def _model_at(location: tuple[str | int, ...]) -> type[_Model]:
    if len(location) > 1:
        return {"starts": Start, "signature": Signature, "dedup": Dedup}.get(str(location[0]), Webhook)
    return Webhook
