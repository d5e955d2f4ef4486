"""What tells whether a file was edited or replaced since it was read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

Stamp = tuple[int, int, int, int]
"""A fingerprint of a file's state: another one once it is edited, replaced, or becomes readable; of a folder, once a
file is added or removed."""
Stamps = dict[Path, Stamp]
"""File → its fingerprint, just before it was read."""

_MISSING = (0, 0, 0, 0)


def stamp_of(path: Path) -> Stamp:
    """The file's fingerprint now."""
    try:
        status = os.stat(path)
    except OSError:
        return _MISSING
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def stamps_of(paths: Iterable[Path]) -> Stamps:
    """The files' fingerprints now."""
    return {path: stamp_of(path) for path in paths}
