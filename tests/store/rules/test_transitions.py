"""What follows from decisions and results, against the slow reference of the delivery rules."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.records import Decision, EventStatus, Result, Target, TargetKind, TargetState
from store.rules import transitions
from store.story import Attempt
from tests.support.reference import RefEvent

NOW = 1_700_000_000_000
DUE = NOW - 5

Step = Literal["look", "hold ends"] | list[tuple[int, TargetState]]
STEPS: st.SearchStrategy[Step] = st.one_of(
    st.sampled_from(["look", "hold ends"]),
    # What was recorded together, of which target by its place.
    st.lists(
        st.tuples(
            st.integers(0, 4),
            st.sampled_from(["done", "skipped", "cancelled", "failed", "unknown", "pending"]),
        ),
        min_size=1,
    ),
)


class Story:
    """One event beside the reference's."""

    def __init__(self, kinds: list[TargetKind], held: bool, ignored: bool):
        self.kinds = kinds
        self.states: list[TargetState] = ["pending"] * len(kinds)
        hold = held and not ignored and "complete" not in kinds
        self.reference = RefEvent(
            1, "e", "w", NOW, NOW, {}, decided=True, held=hold, ignored=ignored
        )
        for place, kind in enumerate(kinds):
            self.refer(place, kind, "pending")
        empty: EventStatus = "ignored" if ignored else "expired"
        status: EventStatus = "pending" if kinds or hold else empty
        self.is_now(
            transitions.after_decision(Decision("e", status, "held" if hold else "no"), NOW)
        )

    def refer(self, place: int, kind: TargetKind, state: str) -> None:
        if kind == "start":
            self.reference.starts["flow", str(place)] = state
        else:
            self.reference.takers[str(place)] = state
            if self.reference.freed:
                self.reference.held = True

    def is_now(self, change: transitions.EventChange | None) -> None:
        if change is not None:
            self.status, self.hold, self.settled_at = change.status, change.hold, change.settled_at
        assert self.status == self.reference.status
        assert (self.hold != "no") == self.reference.held
        assert (self.settled_at is None) == (self.hold != "no" or self.status == "pending")

    @property
    def targets(self) -> set[tuple[TargetKind, TargetState]]:
        return set(zip(self.kinds, self.states, strict=True))

    def play(self, step: Step) -> None:
        if step == "look":
            if self.hold == "recheck":
                self.is_now(transitions.after_decision(Decision("e", self.status, "held"), NOW))
        elif step == "hold ends":
            if self.hold == "held":
                self.reference.held = False
                self.is_now(transitions.event_after_hold(self.targets, NOW))
        else:
            self.record(step)

    def record(self, results: list[tuple[int, TargetState]]) -> None:
        ended = set[TargetKind]()
        for place, state in results:
            if place >= len(self.kinds) or self.states[place] != "pending":
                continue
            # Only a task can be gone, whatever became of it, and only a start be needless.
            if state not in (
                ("skipped",) if self.kinds[place] == "complete" else ("cancelled", "unknown")
            ):
                self.states[place] = state
                self.refer(place, self.kinds[place], state)
                if state in transitions.ENDED:
                    ended.add(self.kinds[place])
        if ended:
            self.is_now(transitions.event_after(self.hold, self.targets, "complete" in ended, NOW))
        else:
            self.is_now(None)


@given(
    st.lists(st.sampled_from(["complete", "start"]), max_size=5),
    st.booleans(),
    st.booleans(),
    st.lists(STEPS, max_size=8),
)
def test_an_event_comes_to_what_the_reference_says(
    kinds: list[TargetKind], held: bool, ignored: bool, steps: list[Step]
) -> None:
    if ignored:  # a webhook without receivers
        kinds = [kind for kind in kinds if kind == "start"]
    story = Story(kinds, held, ignored)
    for step in steps:
        story.play(step)


def test_a_target_is_left_to_be_tried_again_or_has_ended() -> None:
    target = a_target("start", None)
    again = Result(target, "pending", "away", due_at=NOW + 9, not_sent=True, failing_since=NOW - 1)
    assert transitions.target_after(target, again, NOW) == transitions.TargetChange(
        "pending",
        NOW + 9,
        "away",
        True,
        None,
        None,
        NOW - 1,
        (Attempt(target.attempts, NOW, NOW, "away"),),
    )
    done = Result(target, "done", workflow_id="w9")
    assert transitions.target_after(target, done, NOW) == transitions.TargetChange(
        "done", DUE, None, False, "w9", NOW, None, ()
    )


def test_a_task_whose_event_was_not_for_it_waits_again_and_the_event_is_free() -> None:
    unfit = Result(a_target("complete", "t"), "cancelled", unfit=True)
    assert transitions.task_after(unfit, NOW) == transitions.TaskChange("returned", None)
    assert transitions.event_after("no", [("complete", "cancelled")], True, NOW) is not None


@pytest.mark.parametrize(
    ("outcome", "change"),
    [
        ("done", transitions.TaskChange("completed", NOW)),
        ("cancelled", transitions.TaskChange("gone", NOW)),
        ("unknown", transitions.TaskChange("gone", NOW)),
        ("failed", transitions.TaskChange("returned", None)),
        ("pending", None),
    ],
)
def test_a_task_follows_its_target(
    outcome: TargetState, change: transitions.TaskChange | None
) -> None:
    assert transitions.task_after(Result(a_target("complete", "t"), outcome), NOW) == change
    assert transitions.task_after(Result(a_target("start", None), outcome), NOW) is None


def test_the_decider_is_to_look_at_what_is_free_again() -> None:
    freed = transitions.event_after("no", [("complete", "cancelled")], True, NOW)
    assert freed == transitions.EventChange("pending", "recheck", None)


def a_target(kind: TargetKind, task_id: str | None) -> Target:
    return Target(
        id=1,
        event_id="e",
        kind=kind,
        workflow="flow",
        workflow_id=None,
        task_id=task_id,
        reference_name=None,
        version=None,
        correlation_id=None,
        state="claimed",
        attempts=1,
        error=None,
        claimed_by="me",
        claimed_at=NOW,
        due_at=DUE,
        created_at=DUE,
        settled_at=None,
    )
