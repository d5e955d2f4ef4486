"""Loads definitions for tests, and says what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from config.webhooks import Definitions, DefinitionsError, load_definitions
from platforms import PLATFORMS

ENVIRONMENT = {"SECRET": "s3cret-of-32-characters-or-more!", "EMPTY": ""}
Load = Callable[..., Definitions]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def write_and_load(text: str | bytes, **environment: str) -> Definitions:
        file = tmp_path / "webhooks.yaml"
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        return load_definitions(file, PLATFORMS, {**ENVIRONMENT, **environment})

    return write_and_load


@pytest.fixture
def problems(load: Load) -> Callable[..., list[str]]:
    """The problems without the file's name: ``LINE: where: what; remedy``."""

    def find(text: str | bytes, **environment: str) -> list[str]:
        with pytest.raises(DefinitionsError) as caught:
            load(text, **environment)
        return [f"{p.line}: {p.where}: {p.what}; {p.remedy}" for p in caught.value.problems]

    return find


Problems = Callable[..., list[str]]

GOOD = """\
webhooks:
  - name: deploys
    platform: github
    secret: ${SECRET}
    receivers: {deploy: any}
"""


def webhook(**keys: str) -> str:
    lines = "".join(f"\n  {key}: {value}" for key, value in keys.items())
    return f"webhooks:\n- name: a{lines}\n  receivers: {{w: any}}\n"
