"""Whether a Conductor server can be used, and what it lacks, found out by calls that change
nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Literal

from config.urls import without_user
from config.webhooks import Definitions
from worker.conductor.client import Conductor
from worker.conductor.errors import ConductorError, NotFound, NotNow, NotThere, Unreachable
from worker.conductor.server import Server
from worker.discovery.index import Index

_NOBODY = "webhook-bridge-check"
"""A name that no workflow, task or task domain has: polling that domain's queue takes nobody's
task."""
SECONDS = 5.0
"""Seconds that a probe may take."""

_CALLS: tuple[Callable[[Conductor], object], ...] = (
    lambda conductor: conductor.task(_NOBODY),
    lambda conductor: conductor.runs(_NOBODY),
    lambda conductor: conductor.evaluate(_NOBODY),
    lambda conductor: conductor.complete(_NOBODY, _NOBODY, _NOBODY, "{}", _NOBODY),
)
"""Calls that every server must have, besides the poll. What they name doesn't exist in Conductor.
"""
_CALLS_BY_NAME: tuple[Callable[[Conductor], object], ...] = (
    lambda conductor: conductor.started(_NOBODY, _NOBODY),
    lambda conductor: conductor.start(_NOBODY, None, "{}", _NOBODY),
)
"""Calls that name a workflow, which every server must have too. Permissions by name don't allow
them for a made-up name."""
_BY_PROXY = (
    "NO_PROXY names hosts to be called directly; docs/guarantees.md says what a proxy changes"
)
_NAMES = 20
"""Workflows to start whose names are looked up, at most."""


@dataclass(frozen=True)
class CheckResult:
    """One thing that a check found."""

    level: Literal["error", "warning", "note"]
    """error: the server answers but can't be used. warning: it is away, or lacks something. note:
    how it is used."""
    what: str
    remedy: str = ""
    usable: bool = True
    """Whether other calls to the server are worth trying."""

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}" if self.remedy else self.what


def probe(server: Server, definitions: Definitions, seconds: float = SECONDS) -> list[CheckResult]:
    """What is found about the server within this many seconds."""
    found: list[CheckResult] = []
    if server.proxy is not None:
        found.append(
            CheckResult(
                "note", f"Conductor is called by the proxy {without_user(server.proxy)}", _BY_PROXY
            )
        )
    conductor = Conductor(server, seconds)
    # A DNS look-up, or an answer that trickles in, may take longer than any of our time-outs.
    thread = threading.Thread(
        target=_probe, args=(conductor, server, definitions, seconds, found), daemon=True
    )
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        late = (
            f"Conductor could not be checked completely within {seconds:.0f} s: it is slow, or down"
        )
        return [*found, CheckResult("warning", late, usable=False)]
    return found


def _probe(
    conductor: Conductor,
    server: Server,
    definitions: Definitions,
    seconds: float,
    found: list[CheckResult],
) -> None:
    try:
        conductor.poll(_NOBODY, _NOBODY)
    except ConductorError as error:
        found.append(replace(_why_not(error, server, seconds), usable=False))
        return
    try:
        found += missing_calls(conductor, definitions.starts)
        found += _discovery(conductor)
    except ConductorError as error:
        found.append(CheckResult("warning", f"Conductor could not be checked completely: {error}"))


def missing_calls(conductor: Conductor, starts: Iterable[str]) -> list[CheckResult]:
    """The calls that the server lacks, or that the key may not make. Raises Unreachable."""
    absent: list[str] = []
    found: list[CheckResult] = []
    real_names: list[Callable[[Conductor], object]] = [
        partial(_earlier_start, name) for name in islice(starts, _NAMES)
    ]
    for call in (*_CALLS, *_CALLS_BY_NAME, *real_names):
        try:
            call(conductor)
        except NotFound:
            pass  # as expected
        except Unreachable:
            raise
        except NotThere as error:
            if error.call:
                absent.append(error.call)
        except ConductorError as error:
            if error.status in (401, 403) and call not in _CALLS_BY_NAME:
                found.append(CheckResult("error", str(error), "give the key this permission"))
    if absent:
        what = f"the server is too old, or a proxy blocks calls to it: it lacks {', '.join(absent)}"
        found.insert(0, CheckResult("error", what, "the bridge is tested on Conductor OSS 3.32"))
    return found


def _earlier_start(name: str, conductor: Conductor) -> object:
    return conductor.started(name, _NOBODY)


def _discovery(conductor: Conductor) -> Iterator[CheckResult]:
    """How waiting tasks that no queue hands out are found. Raises ConductorError."""
    index = Index(conductor, None, lambda _: set(), time)
    # This shows which way works, without reading all tasks or running workflows.
    for _ in index.waiting_since(conductor.server_now()):
        pass
    why = f": {index.reason}" if index.reason else ""
    what = f"waiting tasks that no queue hands out are found by {index.way}{why}"
    if index.way == "workflows":
        remedy = (
            "reading all running workflows is slow: allow the key to search, and switch indexing on"
        )
        yield CheckResult("warning", what, remedy)
    else:
        yield CheckResult("note", what)


def _why_not(error: ConductorError, server: Server, seconds: float) -> CheckResult:
    """What the failure of the first call says about the server."""
    if isinstance(error, Unreachable):
        return CheckResult(
            "warning",
            f"Conductor can't be reached: {error}",
            "is it running, and reachable from here?",
        )
    no_token = isinstance(error, NotNow) and 400 <= error.status < 500 and error.status != 429
    if error.status in (401, 403) or no_token:
        what = f"Conductor refuses the key: {error}"
        return CheckResult(
            "error",
            what,
            "CONDUCTOR_AUTH_KEY and CONDUCTOR_AUTH_SECRET must be those of a key with the"
            " permission",
        )
    if error.status == 429 or (error.status >= 500 and not isinstance(error, NotThere)):
        return CheckResult(
            "warning", f"Conductor is down: {error}", "deliveries are kept until it is back"
        )
    if isinstance(error, NotThere) or error.status:
        return CheckResult("error", f"no Conductor API there: {error}", _better(server, seconds))
    return CheckResult(
        "warning", f"Conductor doesn't answer: {error}", "is it Conductor, and is it healthy?"
    )


def _better(server: Server, seconds: float) -> str:
    """The address that works, if the usual mistake was made."""
    try:
        Conductor(replace(server, url=f"{server.url}/api"), seconds).poll(_NOBODY, _NOBODY)
    except ConductorError:
        return "CONDUCTOR_SERVER_URL must be the address of Conductor's API, and end with /api"
    return f"CONDUCTOR_SERVER_URL must be {without_user(server.url)}/api"
