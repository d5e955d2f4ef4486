"""Converts a written webhook to the form and back. Pure."""

from __future__ import annotations

import io
from typing import Any

from ruamel.yaml import YAML

from admin.definitions.forms import MORE, START_PARTS, WebhookForm, receiver_line
from admin.definitions.values import Keys, from_yaml_value, to_yaml_value, verbatim
from platforms.guide import Guide


def form_of(written: dict[str, Any]) -> WebhookForm:
    """The form, filled in from what is written."""
    keys = from_yaml_value(written)
    form = WebhookForm(str(keys.get("platform", "custom")), name=str(keys.get("name")))
    receivers = keys.get("receivers") or {}
    form.chosen = [receiver_line(name, versions) for name, versions in receivers.items()]
    for start in keys.get("starts") or []:
        form.starts.append(
            {
                "workflow": str(start.get("workflow", "")),
                "version": str(start.get("version", "")),
                "when": as_yaml(start["when"]).strip() if start.get("when") else "",
                "input": as_yaml(start["input"]).strip() if start.get("input") is not None else "",
            }
        )
    for setting in ("audience", "service_account", "challenge"):
        setattr(form, setting, str(keys.get(setting, "")))
    more = {key: value for key, value in keys.items() if key in MORE}
    form.more = as_yaml(more) if more else ""
    return form


def edited(written: dict[str, Any], form: WebhookForm, guide: Guide) -> dict[str, Any]:
    """The keys with the form's changes; whatever wasn't changed stays as it is written."""
    before = form_of(written)
    typed, receivers = form.keys(guide), before.keys(guide).get("receivers")
    for place in ("header", "secret"):  # the secret is changed by rotating it, or in the file
        form.errors.pop(place, None)
    keys = verbatim(written)
    parts: tuple[tuple[str, bool], ...] = (
        ("receivers", typed.get("receivers") == receivers),
        ("starts", _same_starts(form.starts, before.starts)),
        *((setting, getattr(form, setting) == getattr(before, setting)) for setting in ("audience", "service_account")),
        *((key, key in typed and key in written and typed[key] == from_yaml_value(written[key])) for key in MORE),
    )
    for key, unchanged in parts:
        if unchanged:
            continue
        keys.pop(key, None)
        if key in typed:
            keys[key] = typed[key] if key != "starts" else _with_the_rest(typed[key], written.get(key) or [])
    if form.verify_token:
        keys["verify_token"] = typed["verify_token"]
    return keys


def _with_the_rest(starts: list[dict[str, Any]], old: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The starts, with the keys that the form has no field for (`once`, `unless`) as they are written."""
    rest: dict[Any, list[dict[str, Any]]] = {}
    for start in old:
        rest.setdefault(from_yaml_value(start.get("workflow")), []).append(
            verbatim({key: start[key] for key in start if key not in START_PARTS})
        )
    # The second entry of a workflow keeps what its second entry had.
    return [start | (of.pop(0) if (of := rest.get(start["workflow"])) else {}) for start in starts]


def _same_starts(one: list[dict[str, str]], other: list[dict[str, str]]) -> bool:
    def plain(starts: list[dict[str, str]]) -> list[list[list[str]]]:
        return [[start[part].split() for part in START_PARTS] for start in starts]

    return plain(one) == plain(other)


def differing(old: dict[str, Any], new: Keys) -> set[str]:
    """The keys whose values differ from what is written."""
    written = to_yaml_value(new, lambda secret, label: "…")
    return {key for key in {*old, *written} if old.get(key) != written.get(key)}


def as_yaml(value: Any) -> str:
    yaml = YAML()
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    stream = io.StringIO()
    yaml.dump(value, stream)
    return stream.getvalue()
