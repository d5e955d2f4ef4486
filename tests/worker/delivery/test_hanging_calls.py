"""Calls that hang take no slots from others."""

from __future__ import annotations

from typing import Any

import pytest

from store.records import Decision, NewEvent, NewTarget
from store.sql.decisions import Plan
from tests.support.makers import ME
from tests.worker.delivery.played import Played
from tests.worker.delivery.played import played as played
from tests.worker.targets import bench as bench


class Shared:
    """Two webhooks; the calls of one hang until the test lets them."""

    def __init__(self, played: Played) -> None:
        self.played = played
        self.ids: dict[str, list[str]] = {"sick": [], "well": []}

    def arrive(self, name: str, number: int) -> None:
        bench = self.played.bench
        now = bench.store.now()
        for _ in range(number):
            id_ = f"{name}{len(self.ids[name])}"
            self.ids[name].append(id_)
            bench.store.deliveries.append([NewEvent(id_, name, now, "{}", {}, {}, now)])
            new = NewTarget("start", "flow", correlation_id=id_)
            decision = Decision(id_, "pending", "no", (new,))
            plan = Plan([decision], bench.store.queries.events_of([id_]))
            bench.store.decisions.decide(ME, plan, now, 0)

    def run_well(self) -> None:
        """The calls of the webhook that is well end; those of the other hang."""
        pool = self.played.pool
        index = 0
        while index < len(pool.jobs):
            target = pool.jobs[index].args[0].claimed.target  # type: ignore[attr-defined]
            if target.event_id.startswith("well"):
                pool.run(index)
            else:
                index += 1

    def done(self, webhook: str) -> int:
        found = self.played.bench.store.queries.targets_of(self.ids[webhook])
        return sum(target.state == "done" for target in found)


def test_calls_that_hang_take_no_slots_from_others(played: Played) -> None:
    shared = Shared(played)
    shared.arrive("sick", 200)
    played.work()
    assert len(played.pool.jobs) == 16
    for round_ in range(1, 6):
        shared.arrive("well", 20)
        began = played.now
        while shared.done("well") < 20 * round_:
            played.later(0.25)
            shared.run_well()
            assert played.now < began + 5, "all others have their effect in time"
        assert len(played.pool.jobs) <= 64
    # They are lost at last, and it is known that they hang: a few at a time are tried from now on.
    for job in list(played.pool.jobs):
        played.pool.jobs.remove(job)
        played.bench.conductor.fault = "lost_before"
        job()
    for _ in range(100):
        played.later(0.25)
    assert 1 <= len(played.pool.jobs) <= 2 + 8, "of those that were tried, and of the others"
    played.pool.run_all()
    for _ in range(200):
        played.later(0.25)
        played.pool.run_all()
    assert shared.done("sick") == 200, "they are well again"


def test_a_call_for_which_no_thread_could_be_started_is_made_once_by_another(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ThreadPoolExecutor does where no thread can be started: a thread that it has takes the
    call later."""
    submit = played.pool.submit

    def refuse(*given: Any) -> None:
        submit(*given)
        raise RuntimeError("can't start new thread")

    played.bench.decide(played.bench.start(), claim=False)
    with monkeypatch.context() as patch:
        patch.setattr(played.pool, "submit", refuse)
        played.work()
    played.later(1)
    played.pool.run_all()
    played.later(1)
    assert played.states() == ["done"]
    assert len(played.bench.conductor.workflows) == 1
