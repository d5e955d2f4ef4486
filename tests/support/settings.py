"""Settings of tests: those that are given, and the defaults of all others."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from config.settings import Settings


class _Given(Settings):
    def __init__(self, **given: Any) -> None:
        BaseModel.__init__(self, **given)


def settings_with(**given: Any) -> Settings:
    """Reads nothing of this machine's environment, which takes longer than most tests."""
    return _Given(**given)
