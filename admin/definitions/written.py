"""What is written in a folder of definitions, whether or not it is right."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import Any

from config.yaml_lines import BadYaml, parse_yaml

parsed = lru_cache(maxsize=1)(parse_yaml)
"""For a large file that is looked at several times. What it returns must not be changed."""


def files_in(folder: Path) -> list[Path]:
    """Its files of definitions, in the order of their names; none if it can't be read."""
    try:
        return sorted(path for path in folder.glob("*.yaml") if not path.name.startswith("."))
    except OSError:
        return []


def items_in(file: Path, names: Collection[str]) -> tuple[str, list[Any]]:
    """The file's text, and its webhooks as they are written, if it contains one of these names and can be read."""
    try:
        text = file.read_bytes().decode("utf-8-sig")
        # Most files needn't be parsed.
        document = parsed(text).value if any(name in text for name in names) else None
    except (OSError, UnicodeDecodeError, BadYaml):
        return "", []
    items = document.get("webhooks") if isinstance(document, dict) else None
    return text, items if isinstance(items, list) else []


def names_taken(folder: Path, names: Collection[str]) -> set[str]:
    """Those of the names that webhooks have in files of the folder that can be read. Reads each file once."""
    items = (keys for file in files_in(folder) for keys in items_in(file, names)[1] if isinstance(keys, dict))
    return {name for keys in items if isinstance(name := keys.get("name"), str) and name in names}
