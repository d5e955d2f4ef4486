"""Secrets that could be committed: in a file of a git work tree that isn't ignored."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Sequence
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
            "refer to a variable, or to a file outside the work tree"
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
    by_folder: dict[Path, list[Path]] = {}
    for path in paths:
        by_folder.setdefault(path.absolute().parent, []).append(path)
    return {
        path
        for folder, inside in by_folder.items()
        if any((above / ".git").exists() for above in (folder, *folder.parents))
        for path in _not_ignored_in(folder, inside)
    }


def _not_ignored_in(folder: Path, paths: Sequence[Path]) -> list[Path]:
    """The paths, all in the folder, that git doesn't ignore."""
    try:
        # 0: some are ignored, and it names them. 1: none is, or they are committed already. 128: not a work tree, or
        # git rejects one of the paths.
        answer = subprocess.run(  # noqa: S603
            ["git", "-C", str(folder), "check-ignore", "--stdin", "-z"],  # noqa: S607
            input=b"\0".join(os.fsencode(path.name) for path in paths),
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    if answer.returncode not in (0, 1):
        return [one for path in paths for one in _not_ignored_in(folder, [path])] if len(paths) > 1 else []
    ignored = set(answer.stdout.split(b"\0"))
    return [path for path in paths if os.fsencode(path.name) not in ignored]
