"""The published chart names the published image."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tools.release.files import name_image
from tools.servers.processes import ROOT

VALUES = ROOT / "deploy" / "helm" / "values.yaml"
DIGEST = "sha256:" + "0123456789abcdef" * 4


def test_the_values_name_the_image_and_keep_all_else(tmp_path: Path) -> None:
    values = Path(shutil.copy(VALUES, tmp_path))
    name_image(values, f"ghcr.io/acme/webhook-bridge@{DIGEST}")

    read = YAML(typ="safe", pure=True).load
    before, after = read(VALUES), read(values)
    assert after["image"] == {
        **before["image"],
        "repository": "ghcr.io/acme/webhook-bridge",
        "digest": DIGEST,
    }
    assert {**after, "image": None} == {**before, "image": None}
    assert len(values.read_text().splitlines()) == len(VALUES.read_text().splitlines())


@pytest.mark.parametrize(
    "image", ["ghcr.io/acme/bridge", "ghcr.io/acme/bridge:1.0.0", "bridge@sha256:12"]
)
def test_an_image_without_a_digest_is_refused(image: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="REPOSITORY@sha256"):
        name_image(Path(shutil.copy(VALUES, tmp_path)), image)
