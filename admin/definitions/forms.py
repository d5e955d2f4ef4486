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
    def has_verify_token(self) -> bool:
        """Whether the platform's challenge has a token."""
        return "verify_token" in self.guide.platform.own_settings

    @property
    def first_wrong(self) -> str | None:
        """The field to begin with: the first on the page that is wrong, "" if only the form as a
        whole is."""
        return next((one for one in _ORDER if one in self.errors), None)

    def begin(self) -> None:
        """Fills in what the kind of proof, or the platform, needs."""
        if self.proof:
            self.more = KINDS[self.proof].yaml
        else:
            own = (one for one in self.guide.platform.own_settings if one in _OWN)
            self.more = "".join(f"{one}:   # {_OWN[one]}\n" for one in own)
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
        keys: dict[str, Any] = {"name": self.name}
        if self.guide.platform.name != "custom":
            keys["platform"] = self.guide.platform.name
        further: dict[str, Any] = {}
        try:
            further = self._further()
        except BadValue as error:
            self.errors["more"] = str(error)
        self._check_secret()
        keys |= self._proof_keys()
        if self.verify_token and self.has_verify_token:
            keys["verify_token"] = Secret(self.verify_token)
        receivers = dict(self._each("receiver", self.receivers))
        if receivers:
            keys["receivers"] = receivers
        starts = [
            _start(workflow, version) for workflow, version in self._each("start", self.starts)
        ]
        return keys | self._with_secret(_with_starts(further, starts))

    def _check_secret(self) -> None:
        platform = self.guide.platform
        if self.secret or not self.asks_for_secret:
            return
        if self.proof:
            self.errors["secret"] = "enter the secret, or have one generated"  # noqa: S105
        elif "secret" in platform.required and not platform.challenge_only:
            self.errors["secret"] = asked_of(platform)

    def _proof_keys(self) -> dict[str, Any]:
        match self.proof:
            case "headers":
                if not self.header:
                    self.errors["header"] = "enter the header's name, such as X-Api-Key"
                return {"headers": {self.header: Secret(self.secret)}}
            case "none":
                return {"verifier": "none"}
            case "" if self.secret:
                return {"secret": Secret(self.secret)}
            case _:
                return {}

    def _with_secret(self, further: dict[str, Any]) -> dict[str, Any]:
        """The settings with the secret inside those of the kind of proof, if it belongs there."""
        inside = further.get(self.proof, {})
        belongs_there = self.proof not in ("", "headers") and self.asks_for_secret
        if not belongs_there or not isinstance(inside, dict):  # the check says what it isn't
            return further
        return further | {self.proof: {**inside, "secret": Secret(self.secret)}}

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
        there = [key for key in _HAVE_FIELDS if key in typed]
        if there:
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
    are_versions = all(re.fullmatch(r"[1-9][0-9]{0,8}", one) for one in numbers)
    if not are_versions or (most is not None and len(numbers) > most):
        form = "NAME: 2 for a certain version" if most else "NAME: 1, 2 for certain versions"
        raise BadValue(f"{line!r}: write a workflow's name, or {form}")
    versions = [int(one) for one in numbers]
    return workflow.strip(), versions[0] if len(versions) == 1 else versions


def _start(workflow: str, version: Any) -> dict[str, Any]:
    if version == "any":
        return {"workflow": workflow}
    return {"workflow": workflow, "version": version}


def _with_starts(further: dict[str, Any], starts: list[dict[str, Any]]) -> dict[str, Any]:
    """The settings with these starts before those that were typed with what only YAML says, such as
    a condition."""
    typed = further.get("starts", [])
    if not starts or not isinstance(typed, list):
        return further
    return further | {"starts": [*starts, *typed]}
