"""What the relay knows about gevent: how one process's work shares its one thread (the *hub*)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, ParamSpec, TypeVar

if TYPE_CHECKING:
    from gevent.threadpool import ThreadPool

# gevent is imported lazily: the command line uses `run_in_thread` too, and doesn't need gevent.

Parameters = ParamSpec("Parameters")
Value = TypeVar("Value")


class _Raised(NamedTuple):
    error: Exception


_THREADS = 4
_SWITCH_INTERVAL = 0.0005
"""Seconds for which a thread keeps the interpreter while the hub waits for it: a tenth of Python's
default."""
_pool: ThreadPool | None = None


def start_threads() -> None:
    """Call this in a process that serves, after its fork: from then on `run_in_thread` has
    threads."""
    from gevent.threadpool import ThreadPool

    global _pool
    _pool = ThreadPool(_THREADS)
    # A delivery gives up the interpreter a dozen times, for each of its system calls, and each time
    # waits this long for it while such a thread reads definitions.
    sys.setswitchinterval(_SWITCH_INTERVAL)


_LONGEST_GATHERING = 0.005
"""Seconds: a hub that is never idle would otherwise keep everyone waiting."""


def let_others_run() -> None:
    """Yields to every other delivery that is ready: returns when the hub is idle."""
    import gevent

    gevent.with_timeout(_LONGEST_GATHERING, gevent.idle, timeout_value=None)


def take_turns() -> None:
    """Lets every other delivery that is ready go on, once; what has just come from the network
    isn't yet. In a process that doesn't serve, it does nothing."""
    if _pool is not None:
        import gevent

        gevent.sleep(0)


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raises TimeoutError in whatever waits for the network inside, once it has taken this long
    altogether. In a process that doesn't serve, it does nothing."""
    limit = alarm(seconds, TimeoutError("too slow"))
    try:
        yield
    finally:
        limit()


def alarm(seconds: float, error: Exception) -> Callable[[], None]:
    """Raises the error in whatever waits for the network here, once this long has passed, unless
    the function that this returns is called before. In a process that doesn't serve, it does
    nothing."""
    if _pool is None:
        return lambda: None
    import gevent

    limit: Callable[[], None] = gevent.Timeout.start_new(seconds, error).close
    return limit


def block(seconds: float) -> None:
    """Blocks the whole process: for waits that are shorter than a switch to the hub and back."""
    from gevent import monkey

    monkey.get_original("time", "sleep")(seconds)


def run_in_thread(
    function: Callable[Parameters, Value], *arguments: Parameters.args, **named: Parameters.kwargs
) -> Value:
    """Calls a slow function, or one that reads files, on a thread, so that deliveries continue
    meanwhile.

    The function must take no lock, and share nothing with deliveries. In a process that doesn't
    serve, it is simply called.
    """
    if _pool is None:
        return function(*arguments, **named)

    def outcome() -> Value | _Raised:  # gevent prints exceptions raised on its threads
        try:
            return function(*arguments, **named)
        except Exception as error:
            return _Raised(error)

    found: Value | _Raised = _pool.apply(outcome)
    if isinstance(found, _Raised):
        raise found.error
    return found
