"""From what people type to a webhook's keys. Pure: text in, keys out, or an error next to the field that is wrong."""

from __future__ import annotations

import re
import secrets as random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from admin.definitions.values import Secret
from config.problems import Problem
from config.yaml_lines import BadYaml, parse_yaml
from platforms.guide import Guide

MORE = (
    "id",
    "hold",
    "dedup",
    "decode",
    "split",
    "schema",
    "max_body",
    "allow_ips",
    "metadata",
    "public_url",
    "tolerance",
    "hide",
    "only",
    "accept",
    "pace",
    "respond",
)
"""Keys that the field for further settings may contain."""
START_PARTS = ("workflow", "version", "when", "input")
"""The keys of an entry of `starts` that have fields."""
_STARTS = 10
"""Rows of workflows to start, at most."""

_FIELDS = (
    "name", "header", "prefix", "format", "signed", "timestamp_header", "issuer", "jwks", "subject", "san", "challenge",
    "secret", "verify_token", "audience", "service_account",
)  # fmt: skip
"""Fields of one line, in the order in which the page has them."""


@dataclass
class WebhookForm:
    """What was typed."""

    platform: str
    name: str = ""
    secret: str = ""
    proof: str = "headers"
    """custom: by `headers`, a `signature`, a token (`jwt`), a client certificate (`mtls`), a `challenge`, or `none`."""
    header: str = ""
    """custom: the header with the key, or with the signature."""
    prefix: str = ""
    signed: str = ""
    format: str = ""
    timestamp_header: str = ""
    issuer: str = ""
    jwks: str = ""
    subject: str = ""
    san: str = ""
    encoding: str = "hex"
    verify_token: str = ""
    audience: str = ""
    service_account: str = ""
    challenge: str = ""
    receivers: str = ""
    chosen: list[str] = field(default_factory=list)
    """Receivers that were ticked, as they are typed: `NAME`, or `NAME: 1, 2`."""
    search: str = ""
    """A workflow to be added, or a part of its name."""
    search_versions: str = ""
    search_problem: str = ""
    """What is wrong with what was looked for."""
    starts: list[dict[str, str]] = field(default_factory=list)
    """Each with the parts of `START_PARTS`."""
    more: str = ""
    generated: bool = False
    """Whether the bridge generated the secret."""
    errors: dict[str, str] = field(default_factory=dict)
    """field → what is wrong with it; "" for the form as a whole."""

    @property
    def first_wrong(self) -> str | None:
        """The field to begin with: the first on the page that is wrong, "" if only the form as a whole is."""
        fields = _FIELDS
        rows = [f"start_{part}_{row}" for row in range(_STARTS) for part in START_PARTS]
        return next((one for one in (*fields, "receiver", "receivers", *rows, "more", "") if one in self.errors), None)

    @classmethod
    def read(cls, values: Mapping[str, Any], chosen: Iterable[str], platform: str) -> WebhookForm:
        """From a posted form."""
        form = cls(platform, chosen=list(chosen))
        for name in _FIELDS:
            setattr(form, name, str(values.get(name, "")).strip())
        form.receivers, form.more = str(values.get("receivers", "")), str(values.get("more", ""))
        form.search = str(values.get("receiver", "")).strip()
        form.search_versions = str(values.get("receiver_versions", "")).strip()
        form.proof = str(values.get("proof") or "headers")
        form.encoding = str(values.get("encoding") or "hex")
        for row in range(_STARTS):
            start = {part: str(values.get(f"start_{part}_{row}", "")).strip() for part in START_PARTS}
            if any(start.values()):
                form.starts.append(start)
        return form

    def generate(self) -> None:
        """Generates a secret, for platforms that let their users choose it."""
        self.secret, self.generated = random.token_urlsafe(32), True

    def keys(self, guide: Guide) -> dict[str, Any]:
        """The webhook's keys; fields that can't be understood are in `errors`."""
        self.errors = {"receiver": self.search_problem} if self.search_problem else {}
        keys: dict[str, Any] = {"name": self.name}
        if self.platform != "custom":
            keys["platform"] = self.platform
        self._prove(keys, guide)
        for setting in ("verify_token", "audience", "service_account"):
            value = getattr(self, setting)
            if value and setting in guide.platform.own_settings:
                keys[setting] = Secret(value) if setting == "verify_token" else value
        keys |= self._workflows()
        keys |= self._further()
        return keys

    def _prove(self, keys: dict[str, Any], guide: Guide) -> None:
        if self.platform != "custom":
            if self.secret:
                keys["secret"] = Secret(self.secret)
            return
        if self.proof == "none":
            keys["verifier"] = "none"
        elif self.proof == "challenge":
            keys["challenge"] = self.challenge
        elif self.proof == "jwt":
            keys["jwt"] = self._given("issuer", "audience", "jwks")
        elif self.proof == "mtls":
            keys["mtls"] = self._given("header", "subject", "san")
        elif not self.header:
            self.errors["header"] = "enter the header's name, such as X-Api-Key"
        elif not self.secret:
            self.errors |= {"secret": "enter the secret, or have one generated"}
        elif self.proof == "signature":
            scheme: dict[str, Any] = {"secret": Secret(self.secret), "header": self.header}
            if self.encoding != "hex":
                scheme["encoding"] = self.encoding
            keys["signature"] = scheme | self._given("prefix", "format", "signed", "timestamp_header")
        else:
            keys["headers"] = {self.header: Secret(self.secret)}

    def _given(self, *fields: str) -> dict[str, str]:
        """Those fields that aren't empty."""
        return {name: value for name in fields if (value := getattr(self, name))}

    def _workflows(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        receivers: dict[str, Any] = {}
        for line in (*self.chosen, *filter(None, map(str.strip, self.receivers.splitlines()))):
            workflow, versions = _receiver(line)
            if versions is None:
                self.errors["receivers"] = f"{line!r}: write a workflow's name, or NAME: 1, 2 for certain versions"
            receivers[workflow] = versions
        if receivers:
            found["receivers"] = receivers
        starts = []
        for row, start in enumerate(self.starts):
            made: dict[str, Any] = {"workflow": start["workflow"]}
            if not start["workflow"]:
                self.errors[f"start_workflow_{row}"] = "which workflow?"
            if start["version"]:
                if start["version"].isdecimal() and len(start["version"]) < 10:
                    made["version"] = int(start["version"])
                else:
                    self.errors[f"start_version_{row}"] = "a version must be a number; leave it empty for the latest"
            when = self._mapping(start["when"], f"start_when_{row}", "$.action: opened")
            if when:
                made["when"] = when
            if start["input"]:  # even {}: without the key the workflow gets the payload
                made["input"] = self._mapping(start["input"], f"start_input_{row}", "order: $.data.id")
            starts.append(made)
        if starts:
            found["starts"] = starts
        return found

    def _further(self) -> dict[str, Any]:
        further = self._mapping(self.more, "more", "hold: 10m")
        for key in further:
            if key not in MORE:
                self.errors["more"] = f"{key} is not one of the further settings: {', '.join(MORE)}"
        return {key: value for key, value in further.items() if key in MORE}

    def _mapping(self, text: str, place: str, example: str) -> dict[str, Any]:
        if not text.strip():
            return {}
        try:
            located = parse_yaml(text)
        except BadYaml as error:
            self.errors[place] = f"line {error.line}: {error}; {error.remedy}"
            return {}
        if not isinstance(located.value, dict) or located.repeated:
            self.errors[place] = f"write each setting once, on a line of its own, such as {example}"
            return {}
        return {str(key): value for key, value in located.value.items()}

    def place(self, problems: Iterable[Problem]) -> None:
        """Puts the check's findings beside the fields."""
        for problem in problems:
            path = problem.where.partition(": ")[2]
            self.errors.setdefault(self._field(path), f"{problem.what}; {problem.remedy}")

    def _field(self, path: str) -> str:
        first = re.split(r"[.\[]", path, maxsplit=1)[0]
        row = re.match(r"starts\[(\d+)\](?:\.(workflow|version|when|input))?", path)
        if row:
            return f"start_{row[2] or 'workflow'}_{row[1]}"
        if first in ("signature", "jwt", "mtls"):
            last = path.rpartition(".")[2]
            return last if last in _FIELDS else {"jwt": "issuer", "mtls": "header"}.get(first, "secret")
        if first == "headers":
            return "header"
        if first in ("name", "secret", "verify_token", "audience", "service_account", "challenge", "receivers"):
            return first
        return "more" if first in MORE else "receivers" if "receivers" in path or not path else ""


def _receiver(line: str) -> tuple[str, Any]:
    """Workflow and versions; None for versions that can't be understood."""
    workflow, colon, text = line.rpartition(":")
    if not colon:
        return line, "any"
    text = text.strip()
    if text in ("", "any"):
        return workflow.strip(), "any"
    numbers = [part.strip() for part in text.strip("[]").split(",")]
    if not all(number.isdecimal() and len(number) < 10 and int(number) > 0 for number in numbers):
        return line, None
    versions = [int(number) for number in numbers]
    return workflow.strip(), versions[0] if len(versions) == 1 else versions


def receiver_line(workflow: str, versions: Any) -> str:
    """A receiver as it is typed."""
    if versions == "any":
        return workflow if ":" not in workflow else f"{workflow}: any"
    return f"{workflow}: {', '.join(map(str, versions if isinstance(versions, list) else [versions]))}"
