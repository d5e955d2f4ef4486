"""Waiting tasks and held events, each found for the other at a cost that doesn't grow with their
number.

Tasks are grouped by workflow and by their set of paths, and within a group by what they expect
there. Each webhook's held events are indexed by their values at the paths that tasks have asked by,
each path by itself.
"""

from __future__ import annotations

import heapq
import math
import sys
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice, product
from math import prod
from operator import itemgetter
from typing import Any, NamedTuple

import structlog

from criteria import document as documents
from criteria.equality import Key
from criteria.evaluator import MAX_STEPS, Steps
from criteria.jsonpath import Select
from criteria.matches import BadMatches, Criteria
from store.records import Event, Task

log = structlog.get_logger()

_MANY_VALUES = 64
"""Values at one path above which an event is compared with each task instead of being looked up."""
_PATHS = 256
"""Paths by which a webhook's held events are indexed at a time."""


class WaitingTask:
    """What matching needs to know about a waiting task."""

    __slots__ = (
        "criteria",
        "id",
        "iteration",
        "reference_name",
        "response_timeout",
        "scheduled_at",
        "seen_at",
        "workflow",
        "workflow_id",
    )

    def __init__(self, task: Task, criteria: Criteria | None):
        self.id = task.id
        self.workflow_id = task.workflow_id
        # Very many tasks share the same few names.
        self.workflow = sys.intern(task.workflow)
        self.reference_name = sys.intern(task.reference_name)
        self.iteration = task.iteration
        self.scheduled_at = task.scheduled_at
        self.response_timeout = task.response_timeout
        self.seen_at = task.seen_at
        self.criteria = criteria
        """None if the task's matches can't be parsed."""


def parse_task(task: Task) -> tuple[WaitingTask, str | None]:
    """The task for the index, and why its matches can't be parsed (None if they can)."""
    try:
        return WaitingTask(task, Criteria.parse(task.matches)), None
    except BadMatches as error:
        return WaitingTask(task, None), str(error)
    except Exception as error:  # whatever the error, only this task is affected
        return WaitingTask(task, None), f"{type(error).__name__}: {error}"


class Document(documents.Document):
    """An event's payload. A path that can't be evaluated selects nothing."""

    __slots__ = ()

    def keys(self, path: str, select: Select | None = None) -> frozenset[Key]:
        try:
            return super().keys(path, select)
        except Exception as error:  # one task's path must not hold up the event or other tasks
            log.error("a path can't be evaluated: it selects nothing", path=path, error=str(error))
            self._keys[path] = frozenset()
            return self._keys[path]


TURN = MAX_STEPS
"""Steps of evaluation after which a webhook's turn is over. What they are spent on is a sender's
choice."""


class Turns:
    """Each webhook's turn in a round: its events are decided until their evaluation has taken
    `TURN` steps."""

    def __init__(self) -> None:
        self._steps: defaultdict[str, Steps] = defaultdict(lambda: Steps(math.inf))
        self.put_off = False
        """Whether an event waits for its webhook's next turn."""

    def document(self, event: Event) -> Document:
        """The event's payload, evaluated in its webhook's turn. Raises ValueError if it can't be
        read."""
        return Document(event.document(), self._steps[event.webhook])

    def puts_off(self, event: Event) -> bool:
        """Whether its webhook's turn is over."""
        is_over = self.is_over(event.webhook)
        self.put_off |= is_over
        return is_over

    def is_over(self, webhook: str) -> bool:
        """Whether this webhook's turn is over."""
        return self._steps[webhook].taken >= TURN


_NEAREST = 3
_LOOKED_AT = 100
"""Tasks that are compared with an event that none takes."""


class Near(NamedTuple):
    """A task that came near to taking an event."""

    task: WaitingTask
    differs_in: str | None
    """The first path at which the event has something else; None if all criteria hold, and
    something else was in the way."""

    def __str__(self) -> str:
        """Without a value: the log must not have anything of a payload."""
        task, what = self.task, "matches"
        if self.differs_in is not None:
            what = f"differs in {self.differs_in}"
        return f"{task.reference_name} of {task.workflow} ({task.workflow_id}) {what}"


class _Group(NamedTuple):
    """A workflow's tasks with the same set of paths."""

    selects: tuple[Select, ...]
    by_keys: dict[tuple[Key, ...], dict[str, WaitingTask]]
    """What is expected at each path → task id → task."""


class TaskIndex:
    """The waiting tasks."""

    def __init__(self) -> None:
        self._tasks: dict[str, WaitingTask] = {}
        self._groups: dict[str, dict[tuple[str, ...], _Group]] = {}
        """workflow → paths → its tasks."""

    def __len__(self) -> int:
        return len(self._tasks)

    def __contains__(self, task_id: object) -> bool:
        return task_id in self._tasks

    def __iter__(self) -> Iterator[WaitingTask]:
        return iter(self._tasks.values())

    def get(self, task_id: str) -> WaitingTask | None:
        """The task, if it is waiting."""
        return self._tasks.get(task_id)

    def ids(self) -> list[str]:
        """The ids of all tasks. Other threads may call this."""
        return list(self._tasks)

    def seen_by(self, moment: int) -> list[str]:
        """The ids of the tasks that were seen waiting by then. Other threads may call this."""
        return [task.id for task in list(self._tasks.values()) if task.seen_at <= moment]

    def workflow_ids(self) -> set[str]:
        """The workflows of all tasks. Other threads may call this."""
        return {task.workflow_id for task in list(self._tasks.values())}

    def add(self, task: WaitingTask) -> None:
        """Adds a task, or replaces it."""
        self.remove(task.id)
        self._tasks[task.id] = task
        criteria = task.criteria
        # Otherwise it matches nothing: it is broken, or expects a null.
        if criteria is not None and None not in criteria.keys:
            groups = self._groups.setdefault(task.workflow, {})
            group = groups.setdefault(criteria.paths, _Group(criteria.selects, {}))
            group.by_keys.setdefault(criteria.keys, {})[task.id] = task

    def remove(self, task_id: str) -> WaitingTask | None:
        """Removes the task; returns it if it was there."""
        task = self._tasks.pop(task_id, None)
        if task is not None and task.criteria is not None and None not in task.criteria.keys:
            groups = self._groups[task.workflow]
            by_keys = groups[task.criteria.paths].by_keys
            del by_keys[task.criteria.keys][task_id]
            if not by_keys[task.criteria.keys]:
                del by_keys[task.criteria.keys]
            if not by_keys:
                del groups[task.criteria.paths]
            if not groups:
                del self._groups[task.workflow]
        return task

    def matching(self, document: Document, workflows: Iterable[str]) -> list[WaitingTask]:
        """The tasks of these workflows whose criteria hold, earliest scheduled first."""
        found: list[WaitingTask] = []
        for workflow in workflows:
            for paths, (selects, by_keys) in self._groups.get(workflow, {}).items():
                keys = [
                    document.keys(path, select) for path, select in zip(paths, selects, strict=True)
                ]
                if prod(map(len, keys)) <= len(by_keys):
                    fitting = [each for each in product(*keys) if each in by_keys]
                else:
                    fitting = [
                        each for each in by_keys if all(map(frozenset.__contains__, keys, each))
                    ]
                for each in fitting:
                    found += by_keys[each].values()
        found.sort(key=lambda task: (task.scheduled_at, task.id))
        return found

    def nearest(self, document: Document, workflows: Iterable[str]) -> list[Near]:
        """The tasks of these workflows of whose criteria the most hold, for an event that none of
        them takes.

        Of very many tasks, those that came last are looked at.
        """
        candidates = islice(self._near(document, workflows), _LOOKED_AT)
        return [near for _, near in heapq.nlargest(_NEAREST, candidates, key=itemgetter(0))]

    def _near(self, document: Document, workflows: Iterable[str]) -> Iterator[tuple[float, Near]]:
        """Each task that expects something else, with the share of its criteria that holds."""
        for workflow in workflows:
            for paths, (selects, by_keys) in self._groups.get(workflow, {}).items():
                found = [
                    document.keys(path, select) for path, select in zip(paths, selects, strict=True)
                ]
                for expected, tasks in reversed(by_keys.items()):
                    failed = [
                        path
                        for path, key, keys in zip(paths, expected, found, strict=True)
                        if key not in keys
                    ]
                    share = 1 - len(failed) / len(paths) if paths else 1.0
                    yield share, Near(next(reversed(tasks.values())), next(iter(failed), None))


class HeldEvent:
    """What matching needs to know about a held event."""

    __slots__ = ("hold_until", "id", "newest", "only", "received_at", "seq", "webhook")

    def __init__(self, event: Event):
        self.id = event.id
        self.seq = event.seq
        self.webhook = event.webhook
        self.received_at = self.newest = event.received_at
        """`newest`: no event of its webhook up to it arrived later. Events may be stored in another
        order than they arrived, since a relay may be held up after it has read the clock."""
        self.only = event.only
        self.hold_until = event.hold_until

    def __lt__(self, other: HeldEvent) -> bool:
        return self.seq < other.seq


class _Path:
    """A webhook's held events by their values at one path. Lists are in the events' order."""

    def __init__(self, path: str, select: Select):
        self._path, self._select = path, select
        self._by_key: dict[Key, list[HeldEvent]] = {}
        self._with_many: list[HeldEvent] = []
        self._keys: dict[int, frozenset[Key] | None] = {}
        """`seq` → values, of events with any; None if there are too many."""

    def _lists(self, keys: frozenset[Key] | None) -> Iterator[list[HeldEvent]]:
        if keys is None:
            yield self._with_many
        else:
            for key in keys:
                yield self._by_key.setdefault(key, [])

    def add(self, event: HeldEvent, document: Document) -> None:
        keys: frozenset[Key] | None = document.keys(self._path, self._select)
        if not keys or event.seq in self._keys:
            return
        if len(keys) > _MANY_VALUES:
            keys = None
        self._keys[event.seq] = keys
        for events in self._lists(keys):
            insort(events, event)

    def remove(self, event: HeldEvent) -> None:
        keys = self._keys.pop(event.seq, frozenset[Key]())
        for events in self._lists(keys):
            del events[bisect_left(events, event)]
        for key in keys or ():
            if not self._by_key[key]:
                del self._by_key[key]

    def with_value(self, key: Key) -> tuple[list[HeldEvent], list[HeldEvent]]:
        """Those that have the value, and those that may have it."""
        return self._by_key.get(key, []), self._with_many

    def has_value(self, event: HeldEvent, key: Key) -> bool | None:
        """Whether the event has the value; None if only its payload tells."""
        keys = self._keys.get(event.seq, frozenset[Key]())
        return None if keys is None else key in keys


class HeldIndex:
    """The held events."""

    def __init__(self) -> None:
        self._events: dict[int, HeldEvent] = {}
        """By `seq`."""
        self._in_order: dict[str, list[HeldEvent]] = {}
        """Webhook → its events in order."""
        self._paths: dict[str, dict[str, _Path]] = {}
        """Webhook → path → its events by their values there; the paths that were last used come
        last."""
        self._by_end: dict[str, list[tuple[int, int, HeldEvent]]] = {}
        """Webhook → its events, those first whose hold ends first (a heap)."""
        self._kept: dict[int, HeldEvent] = {}
        """Those that stay held although their hold has ended."""

    def __len__(self) -> int:
        return len(self._events)

    def __contains__(self, event: HeldEvent) -> bool:
        return event.seq in self._events

    def ended(
        self, by: int, before: Callable[[str], float], limit: float = float("inf")
    ) -> list[HeldEvent]:
        """Each webhook's earliest events whose hold ended before the time that `before` gives for
        it, without those that are kept, up to `limit`. They are returned again until they are
        removed. `before` is asked only of webhooks with a hold that ended before `by`."""
        ended: dict[int, HeldEvent] = {}
        for webhook, by_end in self._by_end.items():
            end = before(webhook) if by_end and by_end[0][0] < by else 0
            while by_end and by_end[0][0] < end and len(ended) < limit:
                event = heapq.heappop(by_end)[2]
                if self._events.get(event.seq) is event and event.seq not in self._kept:
                    ended[event.seq] = event
        for event in ended.values():
            self._add_end(event)
        return list(ended.values())

    def _add_end(self, event: HeldEvent) -> None:
        by_end = self._by_end.setdefault(event.webhook, [])
        heapq.heappush(by_end, (event.hold_until, event.seq, event))

    def keep(self, event: HeldEvent) -> None:
        """Keeps the event held until `stop_keeping`."""
        self._kept[event.seq] = event

    def stop_keeping(self) -> None:
        """The holds of all that were kept may end now."""
        for event in self._kept.values():
            self._add_end(event)
        self._kept.clear()

    def knows(self, webhook: str, paths: tuple[str, ...]) -> bool:
        """Whether the webhook's events are indexed by these paths."""
        return self._paths.get(webhook, {}).keys() >= set(paths)

    def learn(
        self, webhook: str, criteria: Criteria, documents: Iterable[tuple[int, Mapping[str, Any]]]
    ) -> None:
        """Indexes the webhook's events by these paths; `documents` gives (seq, payload) of every
        held one."""
        known = self._paths.setdefault(webhook, {})
        pairs = zip(criteria.paths, criteria.selects, strict=True)
        new = {path: _Path(path, select) for path, select in pairs if path not in known}
        for seq, value in documents:
            event = self._events.get(seq)
            if event is None:
                continue
            document = Document(value)
            for path in new.values():
                path.add(event, document)
        # Reading may have failed above: use the paths only if they cover all events.
        known.update(new)
        unused = [path for path in known if path not in criteria.paths]
        for name in unused[: max(0, len(known) - _PATHS)]:
            del known[name]

    def add(self, event: HeldEvent, document: Document) -> None:
        """Holds the event."""
        if event in self:
            return
        self._events[event.seq] = event
        self._add_end(event)
        events = self._in_order.setdefault(event.webhook, [])
        place = bisect_left(events, event)
        events.insert(place, event)
        if place:
            event.newest = max(event.newest, events[place - 1].newest)
        for later in islice(events, place + 1, None):
            if later.newest >= event.newest:
                break
            later.newest = event.newest
        for path in self._paths.get(event.webhook, {}).values():
            path.add(event, document)

    def remove(self, event: HeldEvent) -> None:
        """The event is no longer held."""
        if self._events.pop(event.seq, None) is None:
            return
        self._kept.pop(event.seq, None)
        events = self._in_order[event.webhook]
        del events[bisect_left(events, event)]
        for path in self._paths.get(event.webhook, {}).values():
            path.remove(event)

    def candidates(
        self, webhook: str, criteria: Criteria, received_after: float
    ) -> Iterator[tuple[HeldEvent, bool]]:
        """The held events whose values fit, oldest first, each with whether that is certain; else
        compare its payload.

        `received_after`: those that arrived earlier may be left out. The webhook's events must be
        indexed by the criteria's paths.
        """
        known = self._paths.get(webhook, {})
        wanted = []
        for name, key in zip(criteria.paths, criteria.keys, strict=True):
            known[name] = path = known.pop(name)
            if key is None:
                return
            wanted.append((path, key))
        found = [path.with_value(key) for path, key in wanted] or [
            (self._in_order.get(webhook, []), [])
        ]
        rarest = min(found, key=lambda lists: sum(map(len, lists)))
        for event in heapq.merge(*(_from(events, received_after) for events in rarest)):
            fits = [path.has_value(event, key) for path, key in wanted]
            if False not in fits:
                yield event, None not in fits


def _from(events: Sequence[HeldEvent], received_after: float) -> Iterator[HeldEvent]:
    """Those of a webhook's events that arrived from then on, and maybe some that arrived before."""
    first = bisect_left(events, received_after, key=lambda event: event.newest)
    return (events[index] for index in range(first, len(events)))
