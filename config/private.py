"""How the bridge creates files and folders: for its own user alone, as they hold payloads and
secrets.

What exists keeps its mode, and a stricter umask applies too.
"""

from __future__ import annotations

import os
from pathlib import Path


def opener(path: str, flags: int) -> int:
    """For `open`: a file that is created has the mode 0600."""
    return os.open(path, flags, 0o600)


def make_folder(path: Path) -> None:
    """Creates the folder and those above it that are missing, with the mode 0700. Raises OSError."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
