"""axe-core, the accessibility checker, from npm: for the tests only."""

from __future__ import annotations

from testkit.npm import npm_package


def script() -> tuple[str | None, str]:
    """The checker's source, or None and why it can't be had."""
    folder, reason = npm_package("axe-core", "4.11.0")
    return (folder / "axe.min.js").read_text(encoding="utf-8") if folder else None, reason
