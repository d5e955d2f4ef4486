"""What an explanation says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from config.target_keys import Message, Start
from criteria.document import Document
from criteria.evaluator import TooCostly
from criteria.inputs import InputTooLarge, filled, value_at
from criteria.jsonpath import plain_steps
from criteria.matches import Criterion
from store.hiding import BLANK, Hidden, may_be_hidden
from store.records import Event, SetAside, Target, Task
from store.rules.transitions import UNRESOLVED

_MOST = 20_000
"""Characters of an input that is shown."""
Input = dict[str, Any] | str
"""The input, or why there is none to be shown."""
Verdict = Literal["taken", "matches", "differs", "out of reach", "broken", "not compared"]
"""`taken`: by this event. `matches`: every criterion holds, and the reason says what else is in the
way. `not compared`: that would take too long."""


@dataclass(frozen=True)
class Comparison:
    """One event compared with one task."""

    event: Event
    task: Task
    verdict: Verdict
    reason: str
    criteria: tuple[Criterion, ...] = ()
    is_near: bool = False
    """Of a receiver's task that is out of reach: whether every criterion holds all the same."""

    @property
    def first_failed(self) -> Criterion | None:
        """The first criterion that doesn't hold."""
        return next((criterion for criterion in self.criteria if not criterion.holds), None)

    @property
    def nearness(self) -> tuple[int, float]:
        """Sorts comparisons: the closer to a delivery, the greater."""
        out_of_reach = 3 if self.is_near else 0
        others = {"taken": 5, "matches": 4, "differs": 2, "broken": 1, "not compared": 1}
        order = others.get(self.verdict, out_of_reach)
        held = sum(criterion.holds for criterion in self.criteria)
        return order, held / len(self.criteria) if self.criteria else 1.0


def input_shown(written: Mapping[str, Any], shown: Document, hide: Hidden) -> Input:
    """The input for a document, given what may be shown of it: what `hide` names, or what depends
    on it, is blank."""

    def value_of(path: str) -> Any:
        if not may_be_hidden(path, hide):
            return value_at(path, shown)
        if hide is None or plain_steps(path) is None:  # a filter may ask for a hidden value
            return BLANK
        found = value_at(path, shown)
        return BLANK if found is None else found  # a path through a hidden value finds nothing

    try:
        found: dict[str, Any] = json.loads(filled(written, value_of, _MOST))
    except InputTooLarge:
        return "too large to be shown"
    except TooCostly:
        return "its paths take too long on this payload"
    return found


def in_lines(given: Input) -> str:
    """For people."""
    return given if isinstance(given, str) else json.dumps(given, indent=2, ensure_ascii=False)


@dataclass(frozen=True)
class EntryExplanation:
    """What one entry of `starts` or `messages` made of an event."""

    entry: Start | Message
    holds: bool
    reason: str
    criteria: tuple[Criterion, ...] = ()
    """The criteria of its `when`; of an entry of `messages`, only if one of them doesn't hold."""
    input: Input | None = None
    """The workflow's input, as people may see it; None for the whole payload."""

    @property
    def input_text(self) -> str | None:
        """The input on several lines."""
        return None if self.input is None else in_lines(self.input)


@dataclass(frozen=True)
class StoryStep:
    """Something that happened to an event."""

    at: int
    what: str
    """A sentence."""
    went_wrong: bool = False
    workflow_id: str | None = None
    """The workflow in which it had an effect."""
    other_event_id: str | None = None
    """The replay, or the event, that it names."""


@dataclass(frozen=True)
class EventExplanation:
    """An event explained."""

    event: Event
    cause: str
    """Why it has, or hasn't, had its effect: a sentence."""
    meaning: tuple[str, ...]
    """What its status means, in sentences."""
    starts: tuple[EntryExplanation, ...]
    tasks: tuple[Comparison, ...]
    """Closest first."""
    replays: tuple[Event, ...] = ()
    """Its direct replays, oldest first, without payloads."""
    resolved_by: str | None = None
    """The replay that delivered what the event didn't."""
    set_aside: SetAside | None = None
    """Why the event is set aside, if it is."""
    messages: tuple[EntryExplanation, ...] = ()
    story: tuple[StoryStep, ...] = ()
    """What happened to it, in order."""
    remedy: str = ""
    """What to do about the cause; empty if nothing needs to be done."""

    @property
    def can_be_noted(self) -> bool:
        """Whether it can be acknowledged, or reopened."""
        event = self.event
        is_unresolved = event.status in UNRESOLVED and event.resolved_by is None
        return event.acknowledged_at is not None or is_unresolved


@dataclass(frozen=True)
class TaskExplanation:
    """A task explained."""

    meaning: str
    targets: Sequence[Target]
    near: Sequence[Comparison]
    """The events that came closest to it, closest first."""
    set_aside: SetAside | None
    """Why it, or its workflow, is set aside."""


_SHOWN = 5
"""Tasks that people see without asking for more, each for those like it."""


def grouped(comparisons: Sequence[Comparison]) -> list[list[Comparison]]:
    """Groups of tasks of one workflow with the same verdict for the same reason, closest first, in
    the order of the comparisons; without tasks that are out of reach and differ, too."""
    found: dict[tuple[str, str, str], list[Comparison]] = {}
    for one in comparisons:
        failed = one.first_failed
        if one.verdict == "out of reach" and (failed is not None or not one.criteria):
            continue
        path = failed.path if failed is not None and one.verdict == "differs" else ""
        found.setdefault((one.verdict, one.task.workflow, path), []).append(one)
    return list(found.values())


def _in_words(group: Sequence[Comparison]) -> str:
    nearest, number = group[0], len(group)
    is_one = number == 1
    workflow = nearest.task.workflow
    tasks = f"the task of {workflow}" if is_one else f"{number} tasks of {workflow}"
    failed = nearest.first_failed
    match nearest.verdict:
        case "differs" if failed is not None:
            return f"{tasks} {'differs' if is_one else 'differ'} in {failed.path}"
        case "taken":
            return f"this event took {tasks}"
        case "matches":
            return f"{tasks} {'matches' if is_one else 'match'}"
        case verdict:
            return f"{tasks} {'is' if is_one else 'are'} {verdict}"


def standing_for(comparisons: Sequence[Comparison]) -> list[int]:
    """For how many of the tasks each one stands, itself included: for none, if another one stands
    for it, or if people don't see it without asking for more."""
    shown = {id(comparison): number for comparison, number in shown_first(comparisons)[0]}
    return [shown.get(id(comparison), 0) for comparison in comparisons]


def shown_first(
    comparisons: Sequence[Comparison], each: bool = False
) -> tuple[list[tuple[Comparison, int]], int]:
    """The tasks to show first, and for how many each of them stands; and how many others there are.
    `each`: all of them, one by one."""
    groups = grouped(comparisons)
    if each:
        found = [(one, 1) for one in comparisons]
    elif sum(map(len, groups)) <= _SHOWN:
        found = [(one, 1) for group in groups for one in group]
    else:
        found = [(group[0], len(group)) for group in groups[:_SHOWN]]
    return found, len(comparisons) - sum(number for _, number in found)


def answer(comparisons: Sequence[Comparison]) -> str:
    """What the comparisons amount to, in one sentence."""
    groups = grouped(comparisons)
    if not comparisons:
        return "No task is known to be waiting."
    if not groups:
        return (
            f"No waiting task could take it: all {len(comparisons)} that were compared are out of"
            " reach."
        )
    others = sum(map(len, groups[2:]))
    told = "; ".join(map(_in_words, groups[:2]))
    if others:
        told += f"; and {others} more"
    if any(group[0].verdict == "taken" for group in groups):
        return f"{told[0].upper()}{told[1:]}."
    return f"No waiting task took it: {told}."
