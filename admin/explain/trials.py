"""Tries criteria that somebody is about to write: which events would have fitted, and what else
failed.

Criteria are only ever evaluated on what people may see of an event. So whatever is tried, the
answer can't depend on values that `hide` names: guesses can't be tested against them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from admin.bridge import Bridge
from admin.definitions.values import as_yaml
from admin.explain.explainer import Explainer
from criteria.conditions import Conditions
from criteria.descriptions import describe_criterion, shown
from criteria.jsonpath import BadPath, compile_path
from criteria.matches import BadMatches, Criteria, Criterion
from criteria.operators import is_operators
from platforms.bodies import BadBody, read_json
from store.clock import MonotonicClock
from store.hiding import Hidden, may_be_hidden
from store.records import Event
from store.rules.keys import once_key
from store.sql.event_search import EventFilter

Kind = Literal["matches", "when", "only", "once"]
"""What is tried: a task's `matches`, a start's `when` or `once.key`, or a webhook's `only`."""
_PATIENCE = 3.0
"""Seconds after which no further event is tried: it is for a person who waits."""
_NEWEST = 100
"""Events that are tried."""
_SHOWN = 3
"""Values of a key that are shown."""


@dataclass(frozen=True)
class Line:
    """One criterion as somebody typed it."""

    path: str
    value: str
    """JSON; text that isn't JSON stands for itself, as in YAML."""
    expected: Any = None
    problem: str | None = None
    """Why it can't be tried."""


def read_line(path: str, value: str, kind: Kind, hide: Hidden) -> Line:
    """The criterion, with what is wrong with it."""
    path, value = path.strip(), value.strip()
    expected: Any = value
    problem = None
    try:
        compile_path(path)
        if kind != "once":
            expected = _expected(value)
            (Criteria if kind == "matches" else Conditions).parse({path: expected})
            if kind == "matches" and is_operators(expected):
                problem = (
                    "operators are for `when` and `only`; in `matches` this is an object to be"
                    " equal to"
                )
    except (BadPath, BadMatches) as error:
        problem = str(error)
    except BadBody as error:
        problem = (
            "the value is neither JSON nor plain text:"
            f" {str(error).removeprefix('the body is not JSON: ')}"
        )
    if problem is None and may_be_hidden(path, hide):
        problem = "it can't be tried here: it may select what `hide` names"
    return Line(path, value, expected, problem)


def _expected(text: str) -> Any:
    """Raises BadBody for what begins like JSON and isn't."""
    try:
        return read_json(text)
    except BadBody:
        if text[:1] in ("{", "[", '"'):
            raise
        return text


@dataclass(frozen=True)
class Trial:
    """What became of one event."""

    event: Event
    """Without its payload."""
    failed: tuple[str, ...] = ()
    """The criteria that don't hold, in words."""
    key: str | None = None
    """For `once`: what its key selects, as JSON."""
    same_as: str | None = None
    """For `once`: the id of the first event tried with the same key."""

    @property
    def fits(self) -> bool:
        """Whether all criteria hold; for `once`: whether it would have started a workflow."""
        return not self.failed and self.same_as is None


@dataclass(frozen=True)
class Trials:
    """What became of several events, newest first."""

    tried: tuple[Trial, ...] = ()
    left_out: int = 0
    """Events that were not tried, as that would have taken too long."""

    @property
    def fitting(self) -> int:
        """How many of them would have fitted."""
        return sum(trial.fits for trial in self.tried)


@dataclass(frozen=True)
class Trier:
    """Tries the lines that have no problem."""

    kind: Kind
    lines: Sequence[Line]
    clock: MonotonicClock = time

    @property
    def criteria(self) -> dict[str, Any]:
        """JSONPath → expected value."""
        return {line.path: line.expected for line in self.lines if line.problem is None}

    def explain(self, document: Mapping[str, Any]) -> list[Criterion]:
        """Each criterion with what the document has at its path."""
        return (
            (Criteria if self.kind == "matches" else Conditions)
            .parse(self.criteria)
            .explain(document)
        )

    def try_all(self, events: Iterable[Event], number: int) -> Trials:
        """Tries these `number` events, newest first, as people may see them, until it has taken too
        long."""
        if not self.criteria:
            return Trials()
        until = self.clock.monotonic() + _PATIENCE
        tried: list[tuple[Trial, str | None]] = []
        for event in events:
            tried.append(self._try(event))
            if self.clock.monotonic() > until:
                break
        return Trials(_with_repeats(tried), number - len(tried))

    def _try(self, event: Event) -> tuple[Trial, str | None]:
        """The trial, and for `once` the key."""
        bare = replace(event, payload="{}", headers={}, query={})
        try:
            document = event.document()
        except ValueError as error:
            return Trial(bare, (f"the event can't be read: {error}",)), None
        if self.kind != "once":
            failed = (criterion for criterion in self.explain(document) if not criterion.holds)
            return Trial(bare, tuple(map(describe_criterion, failed))), None
        path = next(iter(self.criteria))
        values = compile_path(path)(document)
        key = ", ".join(map(shown, values[:_SHOWN])) + (", …" if len(values) > _SHOWN else "")
        return Trial(bare, key=key or None), once_key(event.webhook, "", path, document)


def _with_repeats(tried: Sequence[tuple[Trial, str | None]]) -> tuple[Trial, ...]:
    """The trials, each later one of a key with the event that came first."""
    first: dict[str, str] = {}
    trials: list[Trial] = []
    for trial, key in reversed(tried):
        same_as = trial.event.id if key is None else first.setdefault(key, trial.event.id)
        is_first = same_as == trial.event.id
        trials.append(trial if is_first else replace(trial, same_as=same_as))
    return tuple(reversed(trials))


def try_newest(bridge: Bridge, webhook: str, trier: Trier) -> Trials:
    """Tries the webhook's newest events."""
    if not trier.criteria:
        return Trials()
    ids = [event.id for event in bridge.events(EventFilter(webhook, limit=_NEWEST))]
    return trier.try_all(map(bridge.shown, Explainer(bridge).with_payloads(ids)), len(ids))


def written(kind: Kind, criteria: Mapping[str, Any]) -> str:
    """The criteria as they are written where they belong: in a task's JSON, or in the webhook's
    YAML."""
    match kind:
        case "matches":
            return as_input_parameters(criteria)
        case "once":
            return as_yaml({"once": {"key": next(iter(criteria))}})
        case "when" | "only":
            return as_yaml({kind: dict(criteria)})


def as_input_parameters(criteria: Mapping[str, Any]) -> str:
    """The task's ``inputParameters``, as JSON."""
    parameters = {"inputParameters": {"matches": criteria}}
    text = json.dumps(parameters, indent=2, ensure_ascii=False)
    if all(line.isprintable() for line in text.split("\n")):
        return text
    return json.dumps(parameters, indent=2)
