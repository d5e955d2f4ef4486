"""From what people type to a webhook's keys. Pure: text in, keys out, or an error next to the field that is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from admin.definitions.fields import FIELDS, FURTHER, BadValue, Field, field_at, parsed, put, value_of
from admin.definitions.rotation import Proof, asked_of, generated_for
from admin.definitions.values import Secret
from config.problems import Problem
from platforms import PLATFORMS
from platforms.guide import Guide

START_PARTS = ("workflow", "version", "when", "input")
"""The keys of an entry of `starts` that have fields."""
_STARTS = 10
"""Rows of workflows to start, at most."""


@dataclass
class WebhookForm:
    """What was typed."""

    platform: str
    name: str = ""
    secret: str = ""
    proof: str = "headers"
    """One of `proofs`: by `headers`, a `signature`, a token (`jwt`), a client certificate (`mtls`), a `challenge`, its
    URLs (`callback`), or `none`."""
    besides: tuple[str, ...] = ()
    """Kinds of proof beside that one, whose fields count too."""
    header: str = ""
    """custom: the header with the secret value."""
    verify_token: str = ""
    values: dict[str, str] = field(default_factory=dict)
    """What was typed in the fields of `admin.definitions.fields`, by their names; those that were not there are not."""
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

    def __post_init__(self) -> None:
        if self.proofs and self.proof not in self.proofs:
            self.proof = self.proofs[0]

    @property
    def proofs(self) -> tuple[str, ...]:
        """The kinds of proof to choose from; none for a platform that has its own."""
        return PLATFORMS[self.platform].proofs if self.platform in PLATFORMS else ()

    @property
    def has_secret(self) -> bool:
        """Whether the kind of proof that was chosen needs a secret."""
        if self.proof == "callback":
            return self.values.get("callback_by") != "id"
        return self.proof in ("headers", "signature")

    @property
    def first_wrong(self) -> str | None:
        """The field to begin with: the first on the page that is wrong, "" if only the form as a whole is."""
        fields = [one.name for one in FIELDS]
        rows = [f"start_{part}_{row}" for row in range(_STARTS) for part in START_PARTS]
        order = ("name", "header", *fields, "secret", "verify_token", "receiver", "receivers", *rows, "more", "")
        return next((one for one in order if one in self.errors), None)

    @classmethod
    def read(cls, values: Mapping[str, Any], chosen: Iterable[str], platform: str) -> WebhookForm:
        """From a posted form."""
        form = cls(platform, chosen=list(chosen))
        for name in ("name", "header", "secret", "verify_token"):
            setattr(form, name, str(values.get(name, "")).strip())
        form.values = {one.name: str(values.get(one.name, "")) for one in FIELDS}
        form.receivers, form.more = str(values.get("receivers", "")), str(values.get("more", ""))
        form.search = str(values.get("receiver", "")).strip()
        form.search_versions = str(values.get("receiver_versions", "")).strip()
        form.proof = str(values.get("proof") or form.proof)
        for row in range(_STARTS):
            start = {part: str(values.get(f"start_{part}_{row}", "")).strip() for part in START_PARTS}
            if any(start.values()):
                form.starts.append(start)
        return form

    def generate(self) -> None:
        """Generates a secret, for platforms that let their users choose it."""
        encoding = self.values.get("signature_key_encoding") if self.proof == "signature" else None
        self.secret, self.generated = generated_for({"signature": {"key_encoding": encoding}}, Proof(None, [])), True

    def keys(self, guide: Guide) -> dict[str, Any]:
        """The webhook's keys; fields that can't be understood are in `errors`."""
        self.errors = {"receiver": self.search_problem} if self.search_problem else {}
        keys: dict[str, Any] = {"name": self.name}
        if self.platform != "custom":
            keys["platform"] = self.platform
        self._prove(keys, guide)
        if self.verify_token and "verify_token" in guide.platform.own_settings:
            keys["verify_token"] = Secret(self.verify_token)
        for one in FIELDS:
            if self.takes(one):
                put(keys, one.path, self.typed(one))
        if self.proof in self.proofs and self.proof in ("jwt", "mtls", "challenge", "callback"):
            keys.setdefault(self.proof, {})  # so that the check says what is missing
        keys |= self._workflows()
        for key, value in self.further().items():
            keys[key] = value
        return keys

    def takes(self, one: Field) -> bool:
        """Whether what is typed in the field becomes part of the webhook."""
        asked = one.group == "own" or (one.group in (self.proof, *self.besides) and one.group in self.proofs)
        return asked and one.fits(PLATFORMS[self.platform])

    def typed(self, one: Field) -> Any:
        """The value typed in the field; None for none, or one that can't be understood, which is in `errors`."""
        try:
            return value_of(one, self.values.get(one.name, ""))
        except BadValue as error:
            self.errors[one.name] = str(error)
            return None

    def _prove(self, keys: dict[str, Any], guide: Guide) -> None:
        if not self.proofs:
            if self.secret:
                keys["secret"] = Secret(self.secret)
            elif "secret" in guide.platform.required and not guide.platform.challenge_only:
                self.errors["secret"] = asked_of(guide.platform)
        elif self.proof == "none":
            keys["verifier"] = "none"
        elif self.has_secret:
            if not self.secret:
                self.errors |= {"secret": "enter the secret, or have one generated"}
            if self.proof in ("signature", "callback"):
                keys[self.proof] = {"secret": Secret(self.secret)}
            elif self.header:
                keys["headers"] = {self.header: Secret(self.secret)}
            else:
                self.errors["header"] = "enter the header's name, such as X-Api-Key"

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

    def further(self) -> dict[str, Any]:
        """The settings that were typed as YAML; what can't be understood is in `errors`."""
        typed = self._mapping(self.more, "more", "hold: 10m")
        if unknown := [key for key in typed if key not in FURTHER]:
            self.errors["more"] = f"{unknown[0]} is not one of the further settings: {', '.join(FURTHER)}"
        return {key: value for key, value in typed.items() if key in FURTHER}

    def _mapping(self, text: str, place: str, example: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = parsed(text, example) if text.strip() else {}
        except BadValue as error:
            self.errors[place] = str(error)
            return {}
        return found

    def place(self, problems: Iterable[Problem]) -> None:
        """Puts the check's problems beside the fields."""
        for problem in problems:
            path = problem.where.partition(": ")[2]
            self.errors.setdefault(self._field(path), f"{problem.what}; {problem.remedy}")

    def _field(self, path: str) -> str:
        first = re.split(r"[.\[]", path, maxsplit=1)[0]
        row = re.match(r"starts\[(\d+)\](?:\.(workflow|version|when|input))?", path)
        if row:
            return f"start_{row[2] or 'workflow'}_{row[1]}"
        if path.startswith(("signature.secret", "callback.secret")):
            return "secret"
        if first == "headers":
            return "header"
        if first in ("name", "secret", "verify_token", "receivers"):
            return first
        if first in FURTHER:
            return "more"
        if (found := field_at(path)) is not None:
            return found.name
        return "receivers" if "receivers" in path or not path else ""


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
