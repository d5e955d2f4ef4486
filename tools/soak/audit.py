"""Counts at Conductor, and not in the bridge's store, what became of every accepted event."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Literal, Protocol

from tools.servers.client import RequestFailed, was_given_up
from tools.soak.load import Account

BATCH = 100
"""Correlation ids in one question."""
PAGE = 1000
"""Workflows in one answer of a search."""
SAMPLE = 100
"""Groups of events whose workflows are looked up even if the search shows one: the index may lack
another."""

Workflow = dict[str, Any]
Fate = Literal["done", "twice", "given up", "waits", "missing"]
"""Of an event's effect. twice: or it is another event's. waits: the workflow that it should have
resumed still does."""


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
    fates = chain(
        _starts(conductor, f"soak_started_{run}", [[event] for event in account.started]),
        _starts(conductor, f"soak_once_{run}", list(account.groups.values())),
        _resumed(conductor, f"soak_resumed_{run}", account.resumed),
    )
    events: defaultdict[Fate, list[str]] = defaultdict(list)
    for event, fate in fates:
        events[fate].append(event)
    lost = (*events["missing"], *events["waits"])
    return Verdict(lost, tuple(events["twice"]), len(events["given up"]))


def _starts(
    conductor: Shows, name: str, groups: Sequence[Sequence[str]]
) -> Iterator[tuple[str, Fate]]:
    """Of each group of events, of which one starts a workflow, the first and the group's fate."""
    found = _listed(conductor, name)
    unclear = [group for group in groups if sum(len(found[event]) for event in group) != 1]
    unclear += random.sample(groups, min(SAMPLE, len(groups)))
    found |= _correlated(conductor, name, chain.from_iterable(unclear))
    for group in groups:
        yield group[0], _fate_of_start([one for event in group for one in found[event]])


def _fate_of_start(workflows: Sequence[Workflow]) -> Fate:
    kept = [one for one in workflows if not was_given_up(one)]
    if len(kept) > 1:
        return "twice"
    if kept:
        return "done"
    return "given up" if workflows else "missing"


def _resumed(conductor: Shows, name: str, resumed: Mapping[str, str]) -> Iterator[tuple[str, Fate]]:
    """The events whose workflows a search doesn't show as resumed by them, with their fates."""
    listed = _listed(conductor, name)
    unclear = {
        key: event
        for key, event in resumed.items()
        if [one["output"] for one in listed[key]] != [f"{{eventId={event}}}"]
    }
    found = _correlated(conductor, name, unclear)
    for key, event in unclear.items():
        workflows = found.get(key, [])
        fate = _fate_of_resumed(workflows, event)
        if fate == "waits":
            _nudge(conductor, workflows[0])
        yield event, fate


def _fate_of_resumed(workflows: Sequence[Workflow], event: str) -> Fate:
    if len(workflows) != 1:
        return "missing"
    [workflow] = workflows
    if was_given_up(workflow):
        return "given up"
    if workflow["status"] != "COMPLETED":
        return "waits"
    return "done" if workflow["output"]["eventId"] == event else "twice"


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
    """The answer of a Conductor that may be busy with a backlog."""
    for pause in (1, 5, 20, 60, 300, 300, 300):
        try:
            return conductor.call(method, path, body)
        except RequestFailed:
            time.sleep(pause)
    return conductor.call(method, path, body)


def _batches(ids: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(ids)
    while batch := list(islice(rest, BATCH)):
        yield batch
