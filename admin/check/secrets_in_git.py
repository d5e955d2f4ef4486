"""Secrets that git would take: in a file of a work tree that nothing ignores."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

from config.webhooks import Definitions, Problem

_PATIENCE = 5.0
"""Seconds for git's answer."""


def find_secrets_in_git(definitions: Definitions) -> list[Problem]:
    """A warning for each secret whose file git would take, or has taken. None where there is no git."""
    places = [place for place in definitions.secrets if place.path.exists()]
    dotenv = Path(".env")
    taken = taken_by_git({place.path for place in places} | ({dotenv} if dotenv.exists() else set()))
    found = [
        Problem(
            str(place.file),
            place.line,
            place.where,
            "the secret stands in this file, which git would take"
            if place.path == place.file
            else f"git would take {place.path}, which holds the secret",
            "name a variable or a file outside of the work tree"
            if place.path == place.file
            else "add it to .gitignore, or move it out of the work tree",
            warning=True,
        )
        for place in places
        if place.path in taken
    ]
    if dotenv in taken:
        what = "git would take this file, which holds secrets"
        found.append(Problem(str(dotenv), 1, "git", what, "add it to .gitignore", warning=True))
    return sorted(found)


def taken_by_git(paths: Iterable[Path]) -> set[Path]:
    """Those of the files that are in a work tree of git and not ignored."""
    return {path for path in paths if _is_taken(path.absolute())}


def _is_taken(path: Path) -> bool:
    if not any((folder / ".git").exists() for folder in path.parents):
        return False
    try:
        # 0: ignored. 1: not ignored, also of a file that git has already. 128: no work tree after all.
        answer = subprocess.run(  # noqa: S603
            ["git", "-C", str(path.parent), "check-ignore", "--quiet", "--", path.name],  # noqa: S607
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return answer.returncode == 1
