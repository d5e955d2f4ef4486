"""What the relay knows of gevent: how the work of one process shares its one thread (its *hub*)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, ParamSpec, TypeVar

if TYPE_CHECKING:
    from gevent.threadpool import ThreadPool

# gevent is imported where it is needed: the command line uses `run_in_thread` too, and has no need of it.

Parameters = ParamSpec("Parameters")
Value = TypeVar("Value")


class _Raised(NamedTuple):
    error: Exception


_THREADS = 4
_pool: ThreadPool | None = None


def start_threads() -> None:
    """To be called in a process that serves, after its fork: `run_in_thread` has threads from then on."""
    from gevent.threadpool import ThreadPool

    global _pool
    _pool = ThreadPool(_THREADS)


_LONGEST_GATHERING = 0.005
"""Seconds: a hub that always has something to do would let nobody go on."""


def let_others_run() -> None:
    """Lets every other delivery that is ready have its turn before this one goes on: until the hub is idle."""
    import gevent

    gevent.with_timeout(_LONGEST_GATHERING, gevent.idle, timeout_value=None)


def block(seconds: float) -> None:
    """Waits with the whole process: for what takes less time than it takes the hub to come back."""
    from gevent import monkey

    monkey.get_original("time", "sleep")(seconds)


def run_in_thread(
    function: Callable[Parameters, Value], *arguments: Parameters.args, **named: Parameters.kwargs
) -> Value:
    """Calls a function that takes long or reads files on a thread, so that deliveries go on meanwhile.

    The function must use nothing that deliveries use as well, and no lock. In a process that doesn't serve it is
    simply called.
    """
    if _pool is None:
        return function(*arguments, **named)

    def outcome() -> Value | _Raised:  # gevent would print what is raised on its thread
        try:
            return function(*arguments, **named)
        except Exception as error:
            return _Raised(error)

    found: Value | _Raised = _pool.apply(outcome)
    if isinstance(found, _Raised):
        raise found.error
    return found
