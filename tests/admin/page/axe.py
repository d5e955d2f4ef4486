"""axe-core, the accessibility checker, from npm: for the tests only."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

_VERSION = "4.11.0"
_FOLDER = (
    Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "conductor-webhook-bridge" / f"axe-{_VERSION}"
)


@cache
def script() -> tuple[str | None, str]:
    """The checker's source, or None and why it can't be had."""
    file = _FOLDER / "node_modules" / "axe-core" / "axe.min.js"
    if not file.exists():
        npm = shutil.which("npm")
        if npm is None:
            return None, "no npm: apt-get install npm"
        _FOLDER.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(_FOLDER), f"axe-core@{_VERSION}"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        except subprocess.TimeoutExpired:
            return None, "npm didn't answer in time"
        if done.returncode:
            return None, f"npm can't install axe-core: {done.stderr.strip()[:200]}"
    return file.read_text(encoding="utf-8"), ""
