"""Counts at Conductor, and not in the bridge's store, what became of every accepted event."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Literal, Protocol

from tools.servers.client import RequestFailed
from tools.soak.load import Account

BATCH = 100
"""Correlation ids in one question."""
PAGE = 1000
"""Workflows in one answer of a search."""
SAMPLE = 100
"""Groups of events whose workflows are looked up even if the search shows one: the index may lack
another."""

Workflow = dict[str, Any]


class Shows(Protocol):
    """Conductor, as far as an audit asks it."""

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One call; the JSON value of its answer."""


@dataclass(frozen=True)
class Verdict:
    """What an audit has found."""

    lost: tuple[str, ...]
    """Events whose effect isn't there; of those that share a key, the first."""
    twice: tuple[str, ...]
    """Those whose effect is there more than once, or is another event's."""
    given_up: int
    """Workflows that Conductor failed by itself, as it was killed while it scheduled a task."""


def audit(conductor: Shows, run: str, account: Account, patience: float) -> Verdict:
    """Waits for the effects until for `patience` seconds no further one has come."""
    deadline = time.monotonic() + patience
    before: int | None = None
    while True:
        verdict = _look(conductor, run, account)
        if not verdict.lost or time.monotonic() > deadline:
            return verdict
        if len(verdict.lost) != before:
            before = len(verdict.lost)
            deadline = time.monotonic() + patience
        time.sleep(2)


def _look(conductor: Shows, run: str, account: Account) -> Verdict:
    counts = [
        *_starts(conductor, f"soak_started_{run}", [[event] for event in account.started]),
        *_starts(conductor, f"soak_once_{run}", list(account.groups.values())),
    ]
    lost = [event for event, times in counts if times == 0]
    twice = [event for event, times in counts if isinstance(times, int) and times > 1]
    given_up = [times for _, times in counts].count("given up")
    for key, found in _not_resumed(conductor, f"soak_resumed_{run}", account.resumed).items():
        event = account.resumed[key]
        match _fate(found, event):
            case "given up":
                given_up += 1
            case "another's":
                twice.append(event)
            case "waits":
                _nudge(conductor, found[0])
                lost.append(event)
            case "missing":
                lost.append(event)
            case "resumed":
                pass
    return Verdict(tuple(lost), tuple(twice), given_up)


def _starts(
    conductor: Shows, name: str, groups: Sequence[Sequence[str]]
) -> Iterator[tuple[str, int | Literal["given up"]]]:
    """Of each group of events its first, and how many workflows they have started together, but for
    those that Conductor gave up."""
    found = _listed(conductor, name)
    unclear = [group for group in groups if sum(len(found[event]) for event in group) != 1]
    unclear += random.sample(groups, min(SAMPLE, len(groups)))
    found |= _correlated(conductor, name, chain.from_iterable(unclear))
    for group in groups:
        workflows = list(chain.from_iterable(found[event] for event in group))
        times = sum(not _was_given_up(workflow) for workflow in workflows)
        yield group[0], times if times or not workflows else "given up"


def _not_resumed(
    conductor: Shows, name: str, resumed: Mapping[str, str]
) -> dict[str, list[Workflow]]:
    """Correlation id → workflows, of those whose list doesn't show that their event has resumed
    them."""
    listed = _listed(conductor, name)
    unclear = [
        key
        for key, event in resumed.items()
        if [one["output"] for one in listed[key]] != [f"{{eventId={event}}}"]
    ]
    found = _correlated(conductor, name, unclear)
    return {key: found.get(key, []) for key in unclear}


def _fate(
    found: Sequence[Workflow], event: str
) -> Literal["resumed", "another's", "waits", "given up", "missing"]:
    """What became of a workflow that waited for the event."""
    if len(found) != 1:
        return "missing"
    [workflow] = found
    if _was_given_up(workflow):
        return "given up"
    if workflow["status"] != "COMPLETED":
        return "waits"
    return "resumed" if workflow["output"]["eventId"] == event else "another's"


def _was_given_up(workflow: Workflow) -> bool:
    reason = str(workflow.get("reasonForIncompletion"))
    return workflow["status"] == "FAILED" and reason.startswith("Error scheduling tasks")


def _nudge(conductor: Shows, workflow: Workflow) -> None:
    """Has Conductor look at a workflow that it left as it was when it was killed."""
    conductor.call("PUT", f"/workflow/decide/{workflow['workflowId']}")


def _listed(conductor: Shows, name: str) -> defaultdict[str, list[Workflow]]:
    """The workflows of that name as a search lists them, by their correlation ids: to look up each
    takes Conductor hours. An index may lack one, or show it as it was."""
    found: defaultdict[str, list[Workflow]] = defaultdict(list)
    path = f"/workflow/search?query=workflowType%3D'{name}'&sort=startTime:ASC&size={PAGE}"
    start, more = 0, True
    while more:
        page = _patiently(conductor, "GET", f"{path}&start={start}")["results"]
        for workflow in page:
            found[workflow["correlationId"]].append(workflow)
        start, more = start + PAGE, len(page) == PAGE
    return found


def _correlated(conductor: Shows, name: str, ids: Iterable[str]) -> dict[str, list[Workflow]]:
    """The workflows of that name by their correlation ids, ended ones included."""
    path = f"/workflow/{name}/correlated?includeClosed=true&includeTasks=false"
    found: dict[str, list[Workflow]] = {}
    for batch in _batches(ids):
        found |= _patiently(conductor, "POST", path, batch)
    return found


def _patiently(conductor: Shows, method: str, path: str, body: Any = None) -> Any:
    for pause in (1, 5, 20, 60):
        try:
            return conductor.call(method, path, body)
        except RequestFailed:
            time.sleep(pause)
    return conductor.call(method, path, body)


def _batches(ids: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(ids)
    while batch := list(islice(rest, BATCH)):
        yield batch
