"""The documentation site: a folder for each version, and `latest`."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.servers.npm import npm_package

MERMAID_VERSION = "11.12.1"
_TO_LATEST = '<!doctype html><meta http-equiv="refresh" content="0; url=latest/"><a href="latest/">Documentation</a>\n'


def build_site(root: Path, folder: Path, tag: str | None = None) -> None:
    """Builds `folder/latest` and, with a tag, the folder named after it. Other versions there stay.

    Raises CalledProcessError if Sphinx finds anything wrong, such as a link that leads nowhere.
    """
    latest = folder / "latest"
    shutil.rmtree(latest, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="doctrees-") as doctrees:
        command = [
            sys.executable,
            "-m",
            "sphinx",
            "--builder",
            "html",
            "--fail-on-warning",
            "--quiet",
        ]
        subprocess.run(
            [*command, "-c", str(root / "docs/site"), "-d", doctrees, str(root), str(latest)],
            check=True,
        )
    (latest / ".buildinfo").unlink(missing_ok=True)
    if tag:
        shutil.rmtree(folder / tag, ignore_errors=True)
        shutil.copytree(latest, folder / tag)
    (folder / "versions.json").write_text(
        json.dumps(["latest", *_versions(folder)]), encoding="utf-8"
    )
    (folder / "index.html").write_text(_TO_LATEST, encoding="utf-8")
    (folder / ".nojekyll").touch()  # GitHub Pages leaves out folders such as _static otherwise


def _versions(folder: Path) -> list[str]:
    """The tags that have a folder, the newest first."""
    tags = [path.name for path in folder.glob("v*") if re.fullmatch(r"v\d+\.\d+\.\d+", path.name)]
    return sorted(
        tags, key=lambda tag: [int(number) for number in tag[1:].split(".")], reverse=True
    )


def copy_mermaid(to: Path) -> bool:
    """Copies what a page needs to draw its diagrams into that folder; whether it could be had."""
    folder, reason = npm_package("mermaid", MERMAID_VERSION)
    if folder is None:
        print(f"The diagrams stay text: {reason}", file=sys.stderr)
        return False
    shutil.copy(folder / "dist" / "mermaid.esm.min.mjs", to)
    chunks = Path("chunks") / "mermaid.esm.min"
    shutil.copytree(folder / "dist" / chunks, to / chunks, ignore=shutil.ignore_patterns("*.map"))
    return True
