"""A webhook that is written, and what a form makes of it."""

from __future__ import annotations

from admin.definitions.editing import edited, form_of
from admin.definitions.values import Secret, to_yaml_value
from platforms.guide import guides


def refer(_secret: Secret, _label: str) -> str:
    return "a reference"


def test_each_of_several_starts_of_a_workflow_keeps_its_own_rest() -> None:
    written = {
        "name": "two",
        "receivers": {"flow": "any"},
        "starts": [
            {"workflow": "s", "when": {"$.x": 1}, "once": {"key": "$.a"}},
            {"workflow": "s", "when": {"$.x": 2}, "unless": "taken"},
            {"workflow": "s", "when": {"$.x": 3}},
        ],
    }
    form = form_of(written)
    form.starts[0]["when"] = "$.x: 4"
    keys = to_yaml_value(edited(written, form, guides()["custom"]), refer)
    first, *others = written["starts"]
    assert keys["starts"] == [{**first, "when": {"$.x": 4}}, *others]
