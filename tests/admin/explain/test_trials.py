"""Criteria that somebody is about to write, tried on events."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import count
from typing import Any
from unittest.mock import Mock

import pytest

from admin.explain.trials import Kind, Trials, Trier, as_input_parameters, read_line
from store.records import Event


def event(name: str, payload: Any) -> Event:
    return Event(
        seq=1,
        id=name,
        webhook="w",
        received_at=0,
        delivery_id=None,
        payload=json.dumps(payload),
        headers={},
        query={},
        status="pending",
        hold_until=0,
        decided_at=None,
        hold="no",
        settled_at=None,
        replay_of=None,
    )


EVENTS = [
    event("c", {"ref": "main", "size": 3}),
    event("b", {"ref": "dev"}),
    event("a", {"ref": "main", "size": 20}),
]


def tried(kind: Kind, *typed: tuple[str, str], events: list[Event] = EVENTS) -> Trials:
    return Trier(kind, [read_line(path, value, kind, ()) for path, value in typed]).try_all(
        events, len(events)
    )


def test_what_fits_and_what_fails_first_and_why() -> None:
    found = tried("matches", ("$.ref", '"main"'), ("$.size", "3"))
    assert found.fitting == 1
    assert [(trial.event.id, trial.failed) for trial in found.tried] == [
        ("c", ()),
        ("b", ('$.ref is "dev", expected is "main"', "nothing at $.size, expected is 3")),
        ("a", ("$.size is 20, expected is 3",)),
    ]


@pytest.mark.parametrize("kind", ["when", "only"])
def test_conditions_have_operators(kind: Kind) -> None:
    assert [trial.fits for trial in tried(kind, ("$.size", '{"$gt": 10}')).tried] == [
        False,
        False,
        True,
    ]


def test_events_with_the_key_of_an_earlier_one_start_nothing() -> None:
    found = tried("once", ("$.ref", ""), events=[*EVENTS, event("0", {})])
    assert [(trial.key, trial.same_as) for trial in found.tried] == [
        ('"main"', "a"),
        ('"dev"', None),
        ('"main"', None),
        (None, None),
    ]
    assert found.fitting == 3


@pytest.mark.parametrize(
    ("kind", "path", "value", "problem"),
    [
        ("matches", "$.a", "main", None),
        ("matches", "$.a", "3", None),
        ("matches", "$.a", '{"b": [1]}', None),
        ("matches", "$.a", '{"b": ', "neither JSON nor plain text"),
        ("matches", "$.a", '{"$gt": 1}', "operators are for `when` and `only`"),
        ("when", "$.a", '{"$gt": 1}', None),
        ("when", "$.a", '{"$gt": null}', "neither a number nor text"),
        ("only", "$.a", '{"$grt": 1}', "did you mean $gt?"),
        ("when", "$.a", "[" * 5000, "neither JSON nor plain text"),
        ("matches", "$[", "1", "not a JSONPath"),
        ("matches", "$." + "a" * 1000, "1", "more than 1000 characters"),
        ("once", "$.a", "whatever", None),
        ("once", "$[", "", "not a JSONPath"),
    ],
)
def test_each_mistake_is_said_beside_its_criterion(
    kind: Kind, path: str, value: str, problem: str | None
) -> None:
    found = read_line(path, value, kind, ()).problem
    assert found is None if problem is None else problem in (found or "")


@pytest.mark.parametrize(
    "path", ["$.card", "$.card.number", "$", "$..number", "$.*", "$['card']", "$.x[?(@.a == 1)]"]
)
def test_what_may_be_hidden_is_not_tried(path: str) -> None:
    line = read_line(path, "1", "matches", ("$.card",))
    assert "may select what `hide` names" in (line.problem or "")
    trier = Trier("matches", [line])
    assert (trier.criteria, trier.try_all(EVENTS, 3)) == ({}, Trials())


def test_where_nobody_knows_what_is_hidden_nothing_is_tried() -> None:
    assert read_line("$.a", "1", "matches", None).problem


def test_no_further_event_is_tried_once_it_has_taken_too_long() -> None:
    clock = Mock(monotonic=Mock(side_effect=count()))
    trier = Trier("matches", [read_line("$.ref", "main", "matches", ())], clock)
    found = trier.try_all([EVENTS[0]] * 100, 100)
    assert (len(found.tried), found.left_out) == (4, 96)


def test_an_event_that_cannot_be_read_fits_nothing() -> None:
    unreadable = replace(event("x", {}), unreadable="its JSON is broken")
    (trial,) = tried("matches", ("$.ref", "main"), events=[unreadable]).tried
    assert trial.failed == ("the event can't be read: its JSON is broken",)


def test_what_is_copied_into_a_task_is_json_whatever_is_in_it() -> None:
    criteria = {"$.a": "ünï \u202e \u0085 \ud800", "$['é']": 1}
    assert json.loads(as_input_parameters(criteria)) == {"inputParameters": {"matches": criteria}}
    assert "\u202e" not in as_input_parameters(criteria)
