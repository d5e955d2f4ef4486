"""A stand-in for Conductor on this machine, which plays answers that were recorded from Conductor
3.32."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.stand_in import StandIn
from worker.conductor.client import Conductor
from worker.conductor.server import Server


@pytest.fixture
def server() -> Iterator[StandIn]:
    stand_in = StandIn()
    yield stand_in
    stand_in.stop()


@pytest.fixture
def conductor(server: StandIn) -> Conductor:
    return Conductor(Server(server.url), 30)
