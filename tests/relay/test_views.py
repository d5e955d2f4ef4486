"""Whether the relay is ready: one check for all who ask."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from relay.views import FRESH_FOR, Readiness
from store.errors import StoreUnavailable
from tools.servers import PATIENCE


class Store:
    """A store that counts the checks, and a clock."""

    def __init__(self) -> None:
        self.checks = 0
        self.error: Exception | None = None
        self.now = 5.0

    def monotonic(self) -> float:
        return self.now

    def check_writable(self, until: float) -> None:
        assert until == self.now + 2
        self.checks += 1
        if self.error is not None:
            raise self.error


def readiness(store: Store) -> Readiness:
    return Readiness(store, 2, store)  # type: ignore[arg-type]


def test_many_who_ask_cost_one_check_a_second() -> None:
    store = Store()
    is_ready = readiness(store)
    assert [is_ready() for _ in range(100)] == [True] * 100
    assert store.checks == 1
    store.now += FRESH_FOR
    store.error = StoreUnavailable("full")
    assert [is_ready() for _ in range(100)] == [False] * 100
    assert store.checks == 2
    store.now += FRESH_FOR
    store.error = None
    assert is_ready()


def test_whoever_comes_during_a_check_gets_its_result() -> None:
    checking, go_on = threading.Event(), threading.Event()

    class Slow(Store):
        def check_writable(self, until: float) -> None:
            super().check_writable(until)
            checking.set()
            assert go_on.wait(PATIENCE)

    store = Slow()
    is_ready = readiness(store)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(is_ready) for _ in range(8)]
        assert checking.wait(PATIENCE)
        go_on.set()
        assert [one.result() for one in asked] == [True] * 8
    assert store.checks == 1
