"""Builds the image where no registry can be reached: the base is a Debian that debootstrap has
made."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.chart import CACHE, ROOT

CONTAINERFILE = ROOT / "deploy" / "Containerfile"
BASE_ARCHIVE = CACHE / "image-base.tar"
"""Kept between runs: to make it takes longer than to build the image."""
EPOCH = "1700000000"


def base_name() -> str:
    """The base's name in the Containerfile, without its digest."""
    [name] = re.findall(
        r"^ARG BASE=([^@\s]+)@sha256:[0-9a-f]{64}$", CONTAINERFILE.read_text(), re.MULTILINE
    )
    return str(name)


def _indexes() -> str:
    """A pip configuration that finds packages as this machine's does; only the build sees it."""
    listed = subprocess.run(
        ["pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    lines = ["[global]"]
    for key in ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout"):
        for found in re.findall(rf"^(?:global|:env:)\.{key}='(.*)'$", listed, re.MULTILINE):
            lines.append(f"{key} = {found}")
    if "cert=" in listed:
        lines.append("cert = /run/pip-cert.pem")
    return "\n".join(lines) + "\n"


class Builder:
    """Debian's buildah, with a storage of its own in the folder."""

    def __init__(self, folder: Path) -> None:
        for tool in ("buildah", "debootstrap"):
            if shutil.which(tool) is None and not (tool == "debootstrap" and BASE_ARCHIVE.exists()):
                pytest.skip(f"{tool} is not installed: the image is not built")
        if os.geteuid() != 0:
            pytest.skip("not root: the image is not built")
        self.ids: dict[str, str] = {}
        """Of the images built, by their names."""
        self._folder = folder
        # In memory where that is possible: buildah waits for each layer to be on the disk.
        subprocess.run(
            ["mount", "-t", "tmpfs", "tmpfs", str(folder)], capture_output=True, check=False
        )
        self._environment = dict(os.environ) | {"BUILDAH_ISOLATION": "chroot"}
        place = ["--root", str(folder / "root"), "--runroot", str(folder / "run")]
        self._storage = ["--storage-driver", "overlay", *place]
        try:
            self.buildah("info")
        # In a container, as a rule: it copies whole trees instead, on the disk.
        except AssertionError:
            self.remove()
            self._storage = ["--storage-driver", "vfs", *place]

    def buildah(
        self, command: str, *arguments: str, check: bool = True, timeout: float = 1800
    ) -> str:
        """What buildah prints. Fails with its words."""
        answer = subprocess.run(
            ["buildah", *self._storage, command, *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert not check or answer.returncode == 0, (
            f"{answer.stdout[-3000:]}\n{answer.stderr[-3000:]}"
        )
        return answer.stdout.strip()

    def remove(self) -> None:
        """Removes all containers, and what is mounted for them: as a rule, all there is."""
        self.buildah("rm", "--all", check=False)
        for mounted in (self._folder / "root" / "overlay", self._folder):
            subprocess.run(
                ["umount", "--recursive", "--lazy", str(mounted)], capture_output=True, check=False
            )

    def make_base(self) -> None:
        """The base, under the name of the real one."""
        if not BASE_ARCHIVE.exists():
            tree = self._folder / "debian"
            command = [
                "debootstrap",
                "--variant=minbase",
                "--include=python3,python3-venv",
                "bookworm",
                str(tree),
            ]
            subprocess.run([*command, *_mirror()], capture_output=True, check=True, timeout=600)
            CACHE.mkdir(parents=True, exist_ok=True)
            part = self._folder / "image-base.tar"
            names = [
                "--exclude=./dev/*",
                "--exclude=./var/cache/apt/*",
                "--exclude=./var/lib/apt/lists/*",
            ]
            subprocess.run(
                ["tar", "--numeric-owner", *names, "-C", str(tree), "-cf", str(part), "."],
                check=True,
            )
            shutil.move(part, BASE_ARCHIVE)
            shutil.rmtree(tree)
        container = self.buildah("from", "scratch")
        self.buildah("add", container, str(BASE_ARCHIVE), "/")
        self.buildah("commit", "--rm", container, base_name())

    def build(self, name: str, *options: str) -> str:
        """Builds the image under that name; its id."""
        settings = self._folder / f"{name}-pip.conf"
        settings.write_text(_indexes(), encoding="utf-8")
        certificates = os.environ.get("PIP_CERT") or "/etc/ssl/certs/ca-certificates.crt"
        id_file = self._folder / f"{name}.id"
        self.buildah(
            "build",
            *(
                "--pull-never",
                "--no-cache",
                "--file",
                str(CONTAINERFILE),
                "--tag",
                name,
                "--iidfile",
                str(id_file),
            ),
            *("--timestamp", EPOCH, "--build-arg", f"SOURCE_DATE_EPOCH={EPOCH}"),
            *("--build-arg", f"BASE={base_name()}"),
            *(
                "--volume",
                f"{settings}:/etc/pip.conf:ro",
                "--volume",
                f"{certificates}:/run/pip-cert.pem:ro",
            ),
            *options,
            str(ROOT),
        )
        self.ids[name] = id_file.read_text(encoding="utf-8").strip()
        return self.ids[name]

    def command(self, container: str, *command: str, options: Sequence[str] = ()) -> list[str]:
        """The command line that runs a command in a container, as the image's user."""
        return [
            "buildah",
            *self._storage,
            "run",
            "--isolation",
            "chroot",
            *options,
            container,
            "--",
            *command,
        ]


def _mirror() -> list[str]:
    """Where this machine gets Debian from; nothing where that isn't known, and debootstrap's own
    default is used."""
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    main = [found for found in listed if found.rstrip("/").endswith("/debian")]
    return main[:1]
