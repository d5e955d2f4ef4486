"""The published chart names the published image."""

from __future__ import annotations

import re
from pathlib import Path


def name_image(values: Path, image: str) -> None:
    """Writes `REPOSITORY@sha256:…` into the chart's `values.yaml`, comments and all else kept.

    Raises ValueError if the image has no digest, or the file no place for it.
    """
    repository, at, digest = image.partition("@")
    if not at or not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise ValueError(f"{image}: an image is named as REPOSITORY@sha256:…")
    text = values.read_text(encoding="utf-8")
    for key, value in (("repository", repository), ("digest", digest)):
        text, count = re.subn(rf"^(image:\n(?:  .*\n)*?  {key}:).*$", rf"\1 {value}", text, count=1, flags=re.MULTILINE)
        if count != 1:
            raise ValueError(f"{values.name} has no image.{key}")
    values.write_text(text, encoding="utf-8")
