"""Earlier starts that Conductor's own look-up of starts doesn't know, as on Redis."""

from __future__ import annotations

import time
from contextlib import nullcontext, suppress
from typing import Any
from unittest import mock

import pytest

from tests.support.simulated import SimulatedConductor, failed, forbidden
from worker.conductor.errors import ConductorError, NotNow, NotThere, OutcomeUnknown, Refused
from worker.delivery import earlier_starts
from worker.delivery.earlier_starts import EarlierStarts


class SlowClock:
    """So slow is everything that one try has time to read a single workflow."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        self.seconds += 10
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.fixture
def conductor() -> SimulatedConductor:
    return SimulatedConductor(
        lambda: int(time.time() * 1000), known=frozenset({"flow"}), starts_unindexed=True
    )


@pytest.fixture
def read(conductor: SimulatedConductor, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The workflows that were read, one after the other."""
    ids: list[str] = []
    whole = conductor.correlation_id

    def correlation_id(workflow_id: str) -> str | None:
        ids.append(workflow_id)
        return whole(workflow_id)

    monkeypatch.setattr(conductor, "correlation_id", correlation_id)
    return ids


@pytest.fixture
def earlier(conductor: SimulatedConductor) -> EarlierStarts:
    return EarlierStarts(conductor)  # type: ignore[arg-type]


def find(earlier: EarlierStarts, name: str, correlation_id: str) -> str | None:
    return earlier.find(name, correlation_id, lambda: None)


def make(conductor: SimulatedConductor, earlier: EarlierStarts, correlation_id: str) -> str:
    """A start with a clear answer."""
    workflow_id: str = conductor.start("flow", None, "{}", correlation_id)
    earlier.made("flow", correlation_id)
    return workflow_id


def test_a_start_that_is_left_out_while_it_is_written_is_found_a_moment_later(
    conductor: SimulatedConductor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on PostgreSQL, where Conductor skips locked rows, though the workflow has long been
    there."""
    conductor.starts_unindexed = False
    there = conductor.begin("flow", correlation_id="event")
    there.ended = True
    answers = iter([None, None, there.id])
    monkeypatch.setattr(conductor, "started", lambda *_: next(answers))
    monkeypatch.setattr(earlier_starts, "_PAUSES", (0.2, 0.5))
    clock = SlowClock()
    earlier = EarlierStarts(conductor, clock)  # type: ignore[arg-type]
    assert find(earlier, "flow", "event") == there.id
    assert clock.slept == [0.2, 0.5]


@pytest.mark.parametrize(
    ("error", "passed_on"),
    [
        (Refused("400"), False),
        (NotThere("404", 404), False),
        (forbidden(), False),
        (failed(500), True),
    ],
)
def test_without_an_index_a_look_up_must_do_but_one_that_fails_for_now_is_waited_for(
    conductor: SimulatedConductor, earlier: EarlierStarts, error: ConductorError, passed_on: bool
) -> None:
    with (
        mock.patch.object(conductor, "started_in_index", side_effect=error),
        pytest.raises(OutcomeUnknown) if passed_on else nullcontext(),
    ):
        assert find(earlier, "flow", "event#0") is None


def test_a_start_whose_name_fits_no_path_is_looked_up_in_the_index_unless_that_is_empty(
    conductor: SimulatedConductor, earlier: EarlierStarts, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_on = iter([True, False])
    monkeypatch.setattr(conductor, "indexes_workflows", lambda: next(is_on), raising=False)
    assert find(earlier, "team/flow", "event") is None
    with pytest.raises(Refused, match="is indexing off"):
        find(earlier, "team/flow", "event")


def test_each_running_workflow_is_read_once(
    conductor: SimulatedConductor, earlier: EarlierStarts, read: list[str]
) -> None:
    ids = [conductor.begin("flow", correlation_id=f"event#{number}").id for number in range(3)]
    assert find(earlier, "flow", "none") is None
    conductor.workflows[ids[0]].ended = True
    ids.append(conductor.begin("flow", correlation_id="event#3").id)
    assert find(earlier, "flow", "event#3") == ids[3]
    assert find(earlier, "flow", "event#0") is None, "it has ended, which the index is told again"
    assert read == ids


def test_a_server_that_looks_starts_up_in_its_store_is_believed(
    conductor: SimulatedConductor, earlier: EarlierStarts, read: list[str]
) -> None:
    conductor.starts_unindexed = False
    for number in range(earlier_starts._SAMPLES):
        assert find(earlier, "flow", "none") is None
        assert len(read) == number, "how it looks starts up isn't known yet"
        make(conductor, earlier, f"event#{number}")
    assert find(earlier, "flow", "none") is None
    assert len(read) == earlier_starts._SAMPLES - 1
    asked = conductor.searches[:]
    make(conductor, earlier, "event#9")
    assert (find(earlier, "flow", "event#9"), conductor.searches) == ("w3", asked)


def test_one_start_that_is_not_known_at_once_shows_that_an_index_is_asked(
    conductor: SimulatedConductor, earlier: EarlierStarts, read: list[str]
) -> None:
    conductor.starts_unindexed = False
    make(conductor, earlier, "event#0")
    conductor.starts_unindexed = True
    make(conductor, earlier, "event#1")
    conductor.starts_unindexed = False
    for number in range(2, 9):
        make(conductor, earlier, f"event#{number}")
    assert find(earlier, "flow", "none") is None
    assert len(read) == 9


def test_a_look_up_that_fails_after_a_start_says_nothing(
    conductor: SimulatedConductor,
    earlier: EarlierStarts,
    read: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any) -> str:
        raise NotNow("429")

    with monkeypatch.context() as patch:
        patch.setattr(conductor, "started", fail)
        for number in range(5):
            make(conductor, earlier, f"event#{number}")
    assert find(earlier, "flow", "event#3") == "w3"
    assert len(read) == 5


def test_more_than_one_try_can_read_are_read_by_several(
    conductor: SimulatedConductor, read: list[str]
) -> None:
    earlier = EarlierStarts(conductor, SlowClock())  # type: ignore[arg-type]
    ids = [conductor.begin("flow", correlation_id=f"event#{number}").id for number in range(3)]
    for number in range(2):
        with pytest.raises(NotNow, match=f"{number + 1} of 3 running"):
            find(earlier, "flow", "event#2")
    assert find(earlier, "flow", "event#2") == ids[2]
    assert read == ids


@pytest.mark.parametrize(
    "answer", [lambda: OutcomeUnknown("500"), lambda: OutcomeUnknown("timed out"), forbidden]
)
def test_a_running_workflow_that_cannot_be_read_keeps_no_other_from_being_found(
    conductor: SimulatedConductor, answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = EarlierStarts(conductor, SlowClock())  # type: ignore[arg-type]  # the sick one takes all the time
    sick = conductor.begin("flow", correlation_id="sick").id
    ids = [conductor.begin("flow", correlation_id=f"event#{number}").id for number in range(2)]
    whole = conductor.correlation_id
    well: list[str] = []

    def correlation_id(workflow_id: str) -> str | None:
        if workflow_id == sick and not well:
            raise answer()
        return whole(workflow_id)

    monkeypatch.setattr(conductor, "correlation_id", correlation_id)
    for _ in range(3):
        with suppress(NotNow, OutcomeUnknown):
            find(earlier, "flow", "none")
    assert find(earlier, "flow", "event#1") == ids[1]
    with pytest.raises(NotNow, match="2 of 3 running"):
        find(earlier, "flow", "sick")
    well.append(sick)
    assert find(earlier, "flow", "sick") == sick


@pytest.mark.parametrize(
    ("error", "passed_on"),
    [
        (Refused("400"), False),
        (NotThere("404"), False),
        (forbidden(), False),
        (NotNow("429"), True),
    ],
)
def test_where_running_workflows_cannot_be_read_the_look_up_must_do_unless_that_is_for_the_moment(
    conductor: SimulatedConductor, earlier: EarlierStarts, error: ConductorError, passed_on: bool
) -> None:
    with (
        mock.patch.object(conductor, "running", side_effect=error),
        pytest.raises(NotNow) if passed_on else nullcontext(),
    ):
        assert find(earlier, "flow", "event#0") is None
