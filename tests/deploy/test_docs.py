"""The examples of docs/kubernetes.md are what Kubernetes and the chart take."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
from ruamel.yaml import YAML

from config.webhooks import load_definitions
from tests.support.chart import CHART, ROOT, with_values

PAGE = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
VALUES = YAML(typ="safe", pure=True).load((CHART / "values.yaml").read_text(encoding="utf-8"))


def examples() -> Iterator[dict[str, Any]]:
    """Every YAML document of the page."""
    for block in re.findall(r"^ *```yaml\n(.*?)^ *```", PAGE, re.MULTILINE | re.DOTALL):
        yield from YAML(typ="safe", pure=True).load_all(block)


def test_kubernetes_takes_the_examples() -> None:
    objects = [example for example in examples() if "kind" in example]
    known = [found for found in objects if "." not in found["apiVersion"]]
    assert [found["kind"] for found in known] == ["CronJob"]
    for found in known:
        kubernetes_validate.validate(found, kubernetes_validate.latest_version(), strict=True)
    assert all(found["metadata"]["name"] for found in objects)


def test_the_chart_takes_the_examples_of_values(tmp_path: Path) -> None:
    base = YAML(typ="safe", pure=True).load(
        (CHART / "ci" / "postgresql-values.yaml").read_text(encoding="utf-8")
    )
    found = [
        example
        for example in examples()
        if set(example) <= set(VALUES) and "webhooks" not in example
    ]
    assert len(found) == 2
    for number, example in enumerate(found):
        file = tmp_path / f"{number}.yaml"
        YAML(typ="safe", pure=True).dump({**base, **example}, file)
        with_values(file)


def test_every_value_that_the_page_sets_is_there() -> None:
    named = re.findall(r"--set(?:-file)? '?([A-Za-z.]+)=", PAGE) + re.findall(
        r"`([a-z]\w*(?:\.\w+)+)=", PAGE
    )
    assert "image.repository" in named
    for name in named:
        value: Any = VALUES
        for part in name.split("."):
            assert part in value, f"{name} is no value of the chart"
            value = value[part]


def test_the_definitions_of_the_page_are_good(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("SLACK_SIGNING_SECRET", "8f742231b10e8888abcd99yyyzzz85a5")
    [example] = [example for example in examples() if set(example) == {"webhooks"}]
    file = tmp_path / "webhooks.yaml"
    YAML(typ="safe", pure=True).dump(example, file)
    assert [webhook.name for webhook in load_definitions(file).webhooks] == ["slack"]
