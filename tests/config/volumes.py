"""Volumes of ConfigMaps and Secrets, written as the kubelet writes them."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path


def write_volume(folder: Path, files: Mapping[str, str]) -> None:
    """Makes the folder hold these files, in one step also where it holds others already.

    The files lie in a hidden folder, which the link ``..data`` names; each file is a link through
    it. A change is a new hidden folder, and the link put in the old one's place. Links to new files
    come after that, those to old ones go.
    """
    folder.mkdir(parents=True, exist_ok=True)
    new = folder / f"..{uuid.uuid4().hex}"
    new.mkdir()
    for name, text in files.items():
        (new / name).write_text(text, encoding="utf-8")
    data = folder / "..data"
    old = data.resolve() if data.is_symlink() else None
    link = folder / "..data_tmp"
    link.symlink_to(new.name)
    link.replace(data)
    for name in files:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(Path("..data") / name)
    for path in folder.iterdir():
        if not path.name.startswith("..") and path.name not in files:
            path.unlink()
    if old:
        shutil.rmtree(old)
