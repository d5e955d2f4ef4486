"""Secrets that could be committed: in a file of a git work tree that isn't ignored."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

from config.webhooks import Definitions, Problem

_PATIENCE = 5.0
"""Seconds that git may take to answer."""


def find_secrets_in_git(definitions: Definitions) -> list[Problem]:
    """A warning for each secret whose file is committed or could be. None where there is no git."""
    places = [place for place in definitions.secrets if place.path.exists()]
    dotenv = Path(".env")
    exposed = not_ignored({place.path for place in places} | ({dotenv} if dotenv.exists() else set()))
    found = [
        Problem(
            str(place.file),
            place.line,
            place.where,
            "this file holds the secret, and git doesn't ignore it"
            if place.path == place.file
            else f"{place.path} holds the secret, and git doesn't ignore it",
            "refer to a variable, or to a file outside of the work tree"
            if place.path == place.file
            else "add it to .gitignore, or move it out of the work tree",
            warning=True,
        )
        for place in places
        if place.path in exposed
    ]
    if dotenv in exposed:
        what = "this file holds secrets, and git doesn't ignore it"
        found.append(Problem(str(dotenv), 1, "git", what, "add it to .gitignore", warning=True))
    return sorted(found)


def not_ignored(paths: Iterable[Path]) -> set[Path]:
    """The files that are in a git work tree and not ignored."""
    return {path for path in paths if _is_not_ignored(path.absolute())}


def _is_not_ignored(path: Path) -> bool:
    if not any((folder / ".git").exists() for folder in path.parents):
        return False
    try:
        # 0: ignored. 1: not ignored, or committed already. 128: not a work tree after all.
        answer = subprocess.run(  # noqa: S603
            ["git", "-C", str(path.parent), "check-ignore", "--quiet", "--", path.name],  # noqa: S607
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return answer.returncode == 1
