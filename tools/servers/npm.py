"""Packages of npm, for tests and the documentation site: none is a part of the bridge."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

_FOLDER = (
    Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "conductor-webhook-bridge"
)


@cache
def npm_package(name: str, version: str) -> tuple[Path | None, str]:
    """The folder of that package without its dependencies, kept under `~/.cache`; or None and why
    it can't be had."""
    folder = _FOLDER / f"{name}-{version}"
    if (folder / "package.json").exists():
        return folder, ""
    npm = shutil.which("npm")
    if npm is None:
        return None, "no npm: apt-get install npm"
    new = _FOLDER / f"{name}-{version}.{os.getpid()}"
    new.mkdir(parents=True, exist_ok=True)
    try:
        command = [npm, "pack", "--silent", "--pack-destination", str(new), f"{name}@{version}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        if done.returncode:
            return None, f"npm can't get {name}: {done.stderr.strip()[:200]}"
        shutil.unpack_archive(next(new.glob("*.tgz")), new, filter="data")
        if not folder.exists():
            (new / "package").rename(folder)
    except subprocess.TimeoutExpired:
        return None, "npm didn't answer in time"
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return folder, ""
