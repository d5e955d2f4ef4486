"""Tasks that an event missed in the same way, so that the answer isn't drowned by them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from admin.explain.results import Comparison

_SHOWN = 5
"""Tasks that people see without asking for more, each for those like it."""


@dataclass(frozen=True)
class Group:
    """Tasks of one workflow with the same verdict for the same reason."""

    tasks: Sequence[Comparison]
    """Closest first."""

    def __str__(self) -> str:
        nearest, number = self.tasks[0], len(self.tasks)
        tasks = f"{number} tasks of {nearest.task.workflow}" if number > 1 else f"the task of {nearest.task.workflow}"
        failed = nearest.first_failed
        match nearest.verdict:
            case "differs" if failed is not None:
                return f"{tasks} {'differ' if number > 1 else 'differs'} in {failed.path}"
            case "taken":
                return f"this event took {tasks}"
            case "matches":
                return f"{tasks} {'match' if number > 1 else 'matches'}"
            case verdict:
                return f"{tasks} {'are' if number > 1 else 'is'} {verdict}"


def grouped(comparisons: Sequence[Comparison]) -> list[Group]:
    """The groups in the order of the comparisons, without tasks that are out of reach and differ, too."""
    found: dict[tuple[str, str, str], list[Comparison]] = {}
    for one in comparisons:
        failed = one.first_failed
        if one.verdict == "out of reach" and (failed is not None or not one.criteria):
            continue
        path = failed.path if failed is not None and one.verdict == "differs" else ""
        found.setdefault((one.verdict, one.task.workflow, path), []).append(one)
    return [Group(tasks) for tasks in found.values()]


def shown_first(comparisons: Sequence[Comparison], each: bool = False) -> tuple[list[tuple[Comparison, int]], int]:
    """The tasks to show first, and for how many each of them stands; and how many others there are. `each`: all of
    them, one by one."""
    found = [(one, 1) for one in comparisons] if each else closest(comparisons)
    return found, len(comparisons) - sum(number for _, number in found)


def closest(comparisons: Sequence[Comparison]) -> list[tuple[Comparison, int]]:
    """The tasks to show first, and for how many each of them stands."""
    groups = grouped(comparisons)
    if sum(len(group.tasks) for group in groups) <= _SHOWN:
        return [(one, 1) for group in groups for one in group.tasks]
    return [(group.tasks[0], len(group.tasks)) for group in groups[:_SHOWN]]


def answer(comparisons: Sequence[Comparison]) -> str:
    """What the comparisons amount to, in one sentence."""
    groups = grouped(comparisons)
    if not comparisons:
        return "No task is known to be waiting."
    if not groups:
        return f"No waiting task could take it: all {len(comparisons)} that were compared are out of reach."
    told = "; ".join(map(str, groups[:2])) + ("; …" if len(groups) > 2 else "")
    is_taken = any(group.tasks[0].verdict == "taken" for group in groups)
    return f"{told[0].upper()}{told[1:]}." if is_taken else f"No waiting task took it: {told}."
