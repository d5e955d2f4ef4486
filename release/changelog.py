"""CHANGELOG.md: a section for each version, the newest first, below what is unreleased."""

from __future__ import annotations

import re

_UNRELEASED = "Unreleased"


def sections(changelog: str) -> dict[str, str]:
    """The text of each section by its heading."""
    parts = re.split(r"^## (.+)\n", changelog, flags=re.MULTILINE)
    return {heading.strip(): text.strip() for heading, text in zip(parts[1::2], parts[2::2], strict=True)}


def notes(changelog: str, version: str, url: str) -> str:
    """The section of the version. Links to files lead to `url`, since nothing lies beside a release's notes.

    Raises KeyError if there is no such section.
    """
    return re.sub(r"\]\((?![a-z]+:|#)", f"]({url}/", sections(changelog)[version]) + "\n"


def with_release(changelog: str, version: str) -> str:
    """The changelog in which all that was unreleased is this version's. Raises ValueError if there is nothing."""
    if not sections(changelog).get(_UNRELEASED):
        raise ValueError("CHANGELOG.md: nothing is unreleased")
    return changelog.replace(f"## {_UNRELEASED}\n", f"## {_UNRELEASED}\n\n## {version}\n", 1)
