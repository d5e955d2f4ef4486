"""The platforms. Each has a folder with its guide and samples, and is a row of `platforms.table`,
unless it does something of its own: then its folder declares it. To add one:
docs/adding-a-platform.md."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType, ModuleType

from platforms.base import Platform


def discover(package: ModuleType) -> Mapping[str, Platform]:
    """Name → platform: the rows of the package's `table`, and the `PLATFORM` of each folder that
    declares one.

    Raises ValueError, which names the platform, if one has no folder of its name, is declared
    twice, or lacks something.
    """
    found: dict[str, Platform] = {}
    for module, platform in _declared(package):
        folder = platform.name.replace("-", "_")
        is_row = module == f"{package.__name__}.table"
        if not is_row and module != f"{package.__name__}.{folder}":
            raise ValueError(
                f"{module} declares {platform.name}: name the platform after its folder"
            )
        if is_row and not Path(package.__path__[0], folder).is_dir():
            raise ValueError(
                f"{module} declares {platform.name}: its guide and samples belong in a folder"
                f" {folder}"
            )
        if platform.name in found:
            raise ValueError(f"{platform.name} is declared twice")
        found[platform.name] = platform
    return MappingProxyType(dict(sorted(found.items())))


def _declared(package: ModuleType) -> Iterator[tuple[str, Platform]]:
    """Each platform, with the name of the module that declares it."""
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        declaring = import_module(module.name) if module.ispkg else None
        for platform in getattr(declaring, "TABLE", (getattr(declaring, "PLATFORM", None),)):
            if isinstance(platform, Platform):
                yield module.name, platform


PLATFORMS = discover(import_module(__name__))
