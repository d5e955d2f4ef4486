"""The platforms, one folder each. To add one, add a folder: docs/adding-a-platform.md."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType, ModuleType

from platforms.base import Platform


def discover(package: ModuleType) -> Mapping[str, Platform]:
    """Name → platform, for every folder of the package that declares a ``PLATFORM``.

    Raises ValueError if a platform is not named after its folder.
    """
    found: dict[str, Platform] = {}
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        platform = getattr(import_module(module.name), "PLATFORM", None) if module.ispkg else None
        if not isinstance(platform, Platform):
            continue
        if f"{package.__name__}.{platform.name.replace('-', '_')}" != module.name:
            raise ValueError(f"{module.name} declares {platform.name}: name the platform after its folder")
        found[platform.name] = platform
    return MappingProxyType(dict(sorted(found.items())))


PLATFORMS = discover(import_module(__name__))
