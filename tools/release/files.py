"""What a release writes into the files: the version, the changelog's section, the chart's image."""

from __future__ import annotations

import re
from pathlib import Path

_UNRELEASED = "Unreleased"
PLACES = (
    ("pyproject.toml", r'^version = "(.+)"$'),
    ("deploy/helm/Chart.yaml", r"^version: (.+)$"),
    ("deploy/helm/Chart.yaml", r'^appVersion: "(.+)"$'),
    ("deploy/Containerfile", r"^ARG VERSION=(.+)$"),
    ("docs/kubernetes.md", r"/webhook-bridge:(\d[\w.]*)"),
    ("docs/kubernetes.md", r"targetRevision: v(.+)$"),
)
"""Each file, and a pattern whose group is the version; it may stand there several times. The first
decides."""

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
        text = re.sub(
            pattern,
            lambda match: _with_group(match, version),
            path.read_text(encoding="utf-8"),
            flags=re.M,
        )
        path.write_text(text, encoding="utf-8")


def _found(root: Path, file: str, pattern: str) -> list[str]:
    return re.findall(pattern, (root / file).read_text(encoding="utf-8"), re.MULTILINE)


def _with_group(match: re.Match[str], text: str) -> str:
    start, end = (match.start(1) - match.start(), match.end(1) - match.start())
    return match[0][:start] + text + match[0][end:]


# --- CHANGELOG.md: a section for each version, the newest first, below what is unreleased ---


def sections(changelog: str) -> dict[str, str]:
    """The text of each section by its heading."""
    parts = re.split(r"^## (.+)\n", changelog, flags=re.MULTILINE)
    return {
        heading.strip(): text.strip()
        for heading, text in zip(parts[1::2], parts[2::2], strict=True)
    }


def notes(changelog: str, version: str, url: str) -> str:
    """The section of the version. Links to files lead to `url`, since nothing lies beside a
    release's notes.

    Raises KeyError if there is no such section.
    """
    return re.sub(r"\]\((?![a-z]+:|#)", f"]({url}/", sections(changelog)[version]) + "\n"


def with_release(changelog: str, version: str) -> str:
    """The changelog in which all that was unreleased is this version's. Raises ValueError if there
    is nothing."""
    if not sections(changelog).get(_UNRELEASED):
        raise ValueError("CHANGELOG.md: nothing is unreleased")
    return changelog.replace(f"## {_UNRELEASED}\n", f"## {_UNRELEASED}\n\n## {version}\n", 1)


# --- the published chart names the published image ---


def name_image(values: Path, image: str) -> None:
    """Writes `REPOSITORY@sha256:…` into the chart's `values.yaml`, comments and all else kept.

    Raises ValueError if the image has no digest, or the file no place for it.
    """
    repository, at, digest = image.partition("@")
    if not at or not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise ValueError(f"{image}: an image is named as REPOSITORY@sha256:…")
    text = values.read_text(encoding="utf-8")
    for key, value in (("repository", repository), ("digest", digest)):
        text, count = re.subn(
            rf"^(image:\n(?:  .*\n)*?  {key}:).*$",
            rf"\1 {value}",
            text,
            count=1,
            flags=re.MULTILINE,
        )
        if count != 1:
            raise ValueError(f"{values.name} has no image.{key}")
    values.write_text(text, encoding="utf-8")
