"""Mermaid, which draws the diagrams of the documentation site."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from testkit.npm import npm_package

VERSION = "11.12.1"


def copy_mermaid(to: Path) -> bool:
    """Copies what a page loads into that folder; whether it could be had."""
    folder, reason = npm_package("mermaid", VERSION)
    if folder is None:
        print(f"The diagrams stay text: {reason}", file=sys.stderr)
        return False
    shutil.copy(folder / "dist" / "mermaid.esm.min.mjs", to)
    chunks = Path("chunks") / "mermaid.esm.min"
    shutil.copytree(folder / "dist" / chunks, to / chunks, ignore=shutil.ignore_patterns("*.map"))
    return True
