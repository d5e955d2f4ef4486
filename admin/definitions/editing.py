"""Converts a written webhook to the form and back. Pure."""

from __future__ import annotations

from typing import Any

from admin.definitions.fields import FIELDS, Group, as_yaml, is_same, put, same_yaml, text_of
from admin.definitions.forms import START_PARTS, WebhookForm, receiver_line
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
    form.values = {one.name: text_of(one, keys) for one in FIELDS}
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
    )
    for key, unchanged in parts:
        if unchanged:
            continue
        keys.pop(key, None)
        if key in typed:
            keys[key] = typed[key] if key != "starts" else _with_the_rest(typed[key], written.get(key) or [])
    for one in FIELDS:
        text = form.values.get(one.name)
        if text is not None and not is_same(one, text, before.values[one.name]):
            put(keys, one.path, form.typed(one))
    for key, value in form.further().items():
        if key not in written or value != from_yaml_value(written[key]):
            keys[key] = value
    if form.verify_token:
        keys["verify_token"] = typed["verify_token"]
    return keys


def kinds_of_proof(written: dict[str, Any]) -> list[Group]:
    """The groups of fields for what proves the webhook's deliveries, besides secrets and headers."""
    return [group for group in ("signature", "jwt", "mtls", "challenge", "callback") if group in written]


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
    return len(one) == len(other) and all(
        same_yaml(before[part], after[part]) for before, after in zip(one, other, strict=True) for part in START_PARTS
    )


def differing(old: dict[str, Any], new: Keys) -> set[str]:
    """The keys whose values differ from what is written."""
    written = to_yaml_value(new, lambda secret, label: "…")
    return {key for key in {*old, *written} if old.get(key) != written.get(key)}
