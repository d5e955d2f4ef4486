"""The form of a new webhook: what was typed becomes its keys, or an error beside the field. Pure.

A few fields for what every webhook has; everything else is typed as YAML.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from admin.definitions.rotation import Proof, asked_of, generated_for
from admin.definitions.values import Secret
from config.problems import Problem
from config.yaml_lines import BadYaml, parse_yaml
from platforms.guide import Guide


class Kind(NamedTuple):
    """A way in which senders can prove their deliveries."""

    label: str
    yaml: str = ""
    """The settings to begin with."""


KINDS = {
    "headers": Kind("a header with a secret value"),
    "signature": Kind(
        "a header with an HMAC signature of the body, or of more",
        """\
signature:
  header: X-Signature
  algorithm: sha256     # or sha1, sha512
  encoding: hex         # or base64
""",
    ),
    "jwt": Kind(
        "a bearer token (JWT) of an issuer",
        """\
jwt:
  issuer: https://login.example.com
  audience: hooks
""",
    ),
    "mtls": Kind(
        "a client certificate, which a trusted proxy verifies",
        """\
mtls:
  header: X-SSL-Client-S-DN   # of the proxy, which overwrites it
  subject: CN=partner,O=Example,C=SE
""",
    ),
    "challenge": Kind(
        "a challenge only", "challenge:\n  name: challenge   # the query parameter or JSON field\n"
    ),
    "callback": Kind(
        "its URL, which is for one task and is used once (callback)", "callback:\n  expires: 7d\n"
    ),
    "none": Kind("not at all (anyone who knows the URL can post)"),
}
"""The kinds of proof that a webhook can choose from if its platform has none of its own."""
_OWN = {
    "audience": "as at Google: of the push subscription, or of the Chat app",
    "service_account": "its e-mail address, as in the push subscription",
    "topic": "its ARN, such as arn:aws:sns:eu-west-1:123456789012:alarms",
}
"""Settings that only some platforms have."""
_HAVE_FIELDS = ("name", "platform", "secret", "verify_token", "headers", "receivers")
_ORDER = ("name", "header", "secret", "verify_token", "receiver", "start", "more", "")


class BadValue(ValueError):
    """What was typed can't be a value of the setting; the text says what can be."""


@dataclass
class WebhookForm:
    """What was typed."""

    guide: Guide
    proof: str = ""
    """One of `KINDS`, or "" for a platform with a proof of its own."""
    name: str = ""
    secret: str = ""
    header: str = ""
    """The header with the secret value, for the proof `headers`."""
    verify_token: str = ""
    receivers: list[str] = field(default_factory=list)
    """Each `NAME`, or `NAME: 1, 2` for certain versions."""
    starts: list[str] = field(default_factory=list)
    """Each `NAME`, or `NAME: 2` for a certain version."""
    more: str = ""
    """The other settings, as YAML."""
    generated: bool = False
    """Whether the bridge generated the secret."""
    errors: dict[str, str] = field(default_factory=dict)
    """field → what is wrong with it; "" for the form as a whole."""

    def __post_init__(self) -> None:
        if self.proof not in self.proofs:
            self.proof = next(iter(self.proofs), "")

    @property
    def proofs(self) -> tuple[str, ...]:
        """The kinds of proof to choose from; none for a platform that has its own."""
        return self.guide.platform.proofs

    @property
    def asks_for_secret(self) -> bool:
        """Whether the kind of proof needs a secret."""
        if self.proof == "callback":
            return self._inside("callback").get("by") != "id"
        return (
            self.proof in ("", "headers", "signature") and self.guide.platform.made_by != "nobody"
        )

    @property
    def first_wrong(self) -> str | None:
        """The field to begin with: the first on the page that is wrong, "" if only the form as a
        whole is."""
        return next((one for one in _ORDER if one in self.errors), None)

    def begin(self) -> None:
        """Fills in what the kind of proof, or the platform, needs."""
        own = (one for one in self.guide.platform.own_settings if one in _OWN)
        self.more = (
            KINDS[self.proof].yaml
            if self.proof
            else "".join(f"{one}:   # {_OWN[one]}\n" for one in own)
        )
        if self.guide.platform.made_by == "us":
            self.generate()

    def generate(self) -> None:
        """Generates a secret, for platforms that let their users choose it."""
        written = {"signature": self._inside("signature")}
        self.secret = generated_for(written, Proof(None, (), []), self.guide.platform)
        self.generated = True

    def keys(self) -> dict[str, Any]:
        """The webhook's keys; fields that can't be understood are in `errors`."""
        self.errors = {}
        platform = self.guide.platform
        keys: dict[str, Any] = {"name": self.name}
        if platform.name != "custom":
            keys["platform"] = platform.name
        try:
            further = self._further()
        except BadValue as error:
            self.errors["more"], further = str(error), {}
        if self.asks_for_secret and not self.secret:
            if self.proof:
                self.errors |= {"secret": "enter the secret, or have one generated"}
            elif "secret" in platform.required and not platform.challenge_only:
                self.errors["secret"] = asked_of(platform)
        if self.proof == "headers":
            keys["headers"] = {self.header: Secret(self.secret)}
            if not self.header:
                self.errors["header"] = "enter the header's name, such as X-Api-Key"
        elif self.proof and self.asks_for_secret:
            inside = further.get(self.proof, {})
            if isinstance(inside, dict):  # or the check says that it isn't
                further[self.proof] = {**inside, "secret": Secret(self.secret)}
        elif self.proof == "none":
            keys["verifier"] = "none"
        elif not self.proof and self.secret:
            keys["secret"] = Secret(self.secret)
        if self.verify_token and "verify_token" in platform.own_settings:
            keys["verify_token"] = Secret(self.verify_token)
        if receivers := dict(self._each("receiver", self.receivers)):
            keys["receivers"] = receivers
        starts = [
            _start(workflow, version) for workflow, version in self._each("start", self.starts)
        ]
        typed = further.get("starts", [])  # with what only YAML says, such as a condition
        if starts and isinstance(typed, list):
            further["starts"] = [*starts, *typed]
        return keys | further

    def _each(self, name: str, lines: list[str]) -> list[tuple[str, Any]]:
        """Workflow and versions of each line that can be understood."""
        found = []
        lines[:] = dict.fromkeys(lines)
        for line in lines:
            try:
                found.append(_workflow_and_versions(line, most=1 if name == "start" else None))
            except BadValue as error:
                self.errors[name] = str(error)
        return found

    def _further(self) -> dict[str, Any]:
        """What was typed as YAML. Raises BadValue."""
        try:
            located = parse_yaml(self.more)
        except BadYaml as error:
            raise BadValue(f"line {error.line}: {error}; {error.remedy}") from None
        typed = {} if located.value is None else located.value
        if not isinstance(typed, dict) or located.repeated:
            raise BadValue("write each setting once, on a line of its own, such as hold: 10m")
        if there := [key for key in _HAVE_FIELDS if key in typed]:
            raise BadValue(f"{there[0]} has a field of its own")
        return {str(key): value for key, value in typed.items()}

    def _inside(self, key: str) -> dict[str, Any]:
        try:
            found = self._further().get(key)
        except BadValue:
            return {}
        return found if isinstance(found, dict) else {}

    def place(self, problems: Iterable[Problem]) -> None:
        """Puts the check's problems beside the fields."""
        for problem in problems:
            path = problem.where.partition(": ")[2]
            name = _field(path)
            where = f"{path}: " if name in ("start", "more") else ""
            self.errors.setdefault(name, f"{where}{problem.what}; {problem.remedy}")


def _field(path: str) -> str:
    """The field for what the check names."""
    first = re.split(r"[.\[]", path, maxsplit=1)[0]
    if path.startswith(("signature.secret", "callback.secret")):
        return "secret"
    if first in ("name", "secret", "verify_token"):
        return first
    if first in ("headers", "receivers", "starts"):
        return first.removesuffix("s")
    return "more" if first else "receiver"  # of the webhook as a whole: that it reaches no workflow


def _workflow_and_versions(line: str, most: int | None) -> tuple[str, Any]:
    """Workflow, and a version, several, or `any`. Raises BadValue."""
    workflow, colon, text = line.rpartition(":")
    if not colon:
        return line, "any"
    if text.strip() in ("", "any"):
        return workflow.strip(), "any"
    numbers = [part.strip() for part in text.split(",")]
    if len(numbers) > (most or len(numbers)) or not all(
        re.fullmatch(r"[1-9][0-9]{0,8}", one) for one in numbers
    ):
        versions = "NAME: 2 for a certain version" if most else "NAME: 1, 2 for certain versions"
        raise BadValue(f"{line!r}: write a workflow's name, or {versions}")
    return workflow.strip(), int(numbers[0]) if len(numbers) == 1 else list(map(int, numbers))


def _start(workflow: str, version: Any) -> dict[str, Any]:
    return {"workflow": workflow} | ({} if version == "any" else {"version": version})
