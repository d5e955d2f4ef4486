"""The version stands in several files; `pyproject.toml` decides, and the others must agree."""

from __future__ import annotations

import re
from pathlib import Path

from release.changelog import sections

PLACES = (
    ("pyproject.toml", r'^version = "(.+)"$'),
    ("deploy/helm/Chart.yaml", r"^version: (.+)$"),
    ("deploy/helm/Chart.yaml", r'^appVersion: "(.+)"$'),
    ("deploy/Containerfile", r"^ARG VERSION=(.+)$"),
    ("docs/kubernetes.md", r"/webhook-bridge:(\d[\w.]*)"),
    ("docs/kubernetes.md", r"targetRevision: v(.+)$"),
)
"""Each file, and a pattern whose group is the version; it may stand there several times."""

_FORM = re.compile(r"\d+\.\d+\.\d+")  # both PEP 440's and SemVer's, which a chart must have


def current_version(root: Path) -> str:
    """The version in `pyproject.toml`."""
    return _found(root, *PLACES[0])[0]


def problems(tag: str, root: Path) -> list[str]:
    """Why this tag can't be released from the files as they are; nothing if it can."""
    version = tag.removeprefix("v")
    if not tag.startswith("v") or not _FORM.fullmatch(version):
        return [f"{tag}: a release's tag is v and three numbers, such as v1.2.3"]
    wrong = [
        f"{file}: the version is {found}, not {version}"
        for file, pattern in PLACES
        for found in _found(root, file, pattern) or ["missing"]
        if found != version
    ]
    if not sections((root / "CHANGELOG.md").read_text(encoding="utf-8")).get(version):
        wrong.append(f"CHANGELOG.md: the section {version} is missing or empty")
    return wrong


def write_version(version: str, root: Path) -> None:
    """Writes the version everywhere. Raises ValueError if it isn't three numbers."""
    if not _FORM.fullmatch(version):
        raise ValueError(f"{version}: a version is three numbers, such as 1.2.3")
    for file, pattern in PLACES:
        path = root / file
        text = re.sub(pattern, lambda match: _with_group(match, version), path.read_text(encoding="utf-8"), flags=re.M)
        path.write_text(text, encoding="utf-8")


def _found(root: Path, file: str, pattern: str) -> list[str]:
    return re.findall(pattern, (root / file).read_text(encoding="utf-8"), re.MULTILINE)


def _with_group(match: re.Match[str], text: str) -> str:
    start, end = (match.start(1) - match.start(), match.end(1) - match.start())
    return match[0][:start] + text + match[0][end:]
