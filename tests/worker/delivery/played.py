"""An executor whose threads a test plays step by step."""

from __future__ import annotations

import pytest

from store.records import NewTarget
from tests.worker.play import Later
from tests.worker.targets import Bench
from tests.worker.targets import bench as bench
from worker.delivery.executor import PAYLOAD


class Played:
    """An executor whose threads run when the test says so, under a clock that the test moves."""

    def __init__(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, payload: int = PAYLOAD
    ) -> None:
        self.bench = bench
        self.pool = Later()
        self.executor = bench.executor = bench.another("me", self.pool, self, payload)
        self.now = 1000.0
        self.ahead = 0
        stores = bench.store.now
        monkeypatch.setattr(bench.store, "now", lambda: stores() + self.ahead)

    def monotonic(self) -> float:
        return self.now

    def messages(self) -> None:
        self.executor.take_messages(0)

    def work(self) -> None:
        self.executor.work(self.now)

    def due_in(self) -> float:
        return self.executor.due_in(self.now)

    def round(self) -> None:
        """The owner's thread once, after as long as it would wait."""
        self.messages()
        self.now += self.due_in()
        self.work()

    def later(self, seconds: float) -> None:
        """So long after, by this machine's clock and the store's."""
        self.now += seconds
        self.ahead += int(seconds * 1000)
        self.messages()
        self.work()

    def states(self) -> list[str]:
        return [target.state for target in self.bench.store.queries.targets_of([self.bench.event])]


@pytest.fixture
def played(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Played:
    return Played(bench, monkeypatch)


def starts(number: int) -> list[NewTarget]:
    return [NewTarget("start", "flow", correlation_id=f"event#{n}") for n in range(1, number + 1)]
