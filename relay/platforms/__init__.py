"""The platforms, one file each. Adding one is adding a file: docs/adding-a-platform.md."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType, ModuleType

from relay.platform import Platform


def discover(package: ModuleType) -> Mapping[str, Platform]:
    """name → platform, for every module of the package that declares a ``PLATFORM``.

    Raises ValueError if two have the same name.
    """
    found: dict[str, Platform] = {}
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        platform = getattr(import_module(module.name), "PLATFORM", None)
        if not isinstance(platform, Platform):
            continue
        if platform.name in found:
            raise ValueError(f"{module.name}: there is a platform {platform.name} already")
        found[platform.name] = platform
    return MappingProxyType(dict(sorted(found.items())))


PLATFORMS = discover(import_module(__name__))
