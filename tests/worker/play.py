"""Plays what threads do one step at a time, in the order that a test chooses."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any


class Later(Executor):
    """A pool whose threads run only when the test says so, each job whole."""

    def __init__(self) -> None:
        self.jobs: list[Callable[[], Any]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.jobs.append(partial(fn, *args, **kwargs))
        return Future()

    def run(self, index: int = 0) -> None:
        """One job."""
        self.jobs.pop(index)()

    def run_all(self) -> None:
        """All jobs, and those that they bring about."""
        while self.jobs:
            self.run()


class Now(Executor):
    """A pool without threads: each job runs as it is submitted."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future
