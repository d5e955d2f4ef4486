"""The bridges of the acceptance tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.bridge import Bridge


@pytest.fixture(scope="module")
def bridge(
    request: pytest.FixtureRequest, conductor_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bridge]:
    """One bridge for a module's tests, with the module's WEBHOOKS and SETTINGS: each test has names of its own."""
    bridge = Bridge(
        tmp_path_factory.mktemp("bridge"),
        conductor_url,
        request.module.WEBHOOKS,
        **getattr(request.module, "SETTINGS", {}),
    )
    try:
        yield bridge.start()
    finally:
        bridge.stop()


@pytest.fixture
def new_bridge(conductor_url: str, tmp_path: Path) -> Iterator[Callable[..., Bridge]]:
    """Makes bridges of a test's own, `new_bridge(WEBHOOKS, **settings)`, and stops them at its end."""
    made: list[Bridge] = []

    def make(webhooks: str, **settings: str) -> Bridge:
        bridge = Bridge(tmp_path / f"bridge{len(made)}", settings.pop("conductor", conductor_url), webhooks, **settings)
        made.append(bridge)
        return bridge

    yield make
    for bridge in reversed(made):
        bridge.stop()
