"""Whom the watcher answers, and when it asks what: one step at a time, on a real store."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from prometheus_client import REGISTRY

from config.model import Respond, Webhook
from config.watch import DefinitionsSource
from config.webhooks import Definitions
from store.answers import GONE, LARGEST, TOO_LARGE, Answer
from store.delivery_records import AnswerWanted
from store.records import Decision, NewEvent, NewTarget, Result, Target
from store.sql.decisions import Plan
from store.sqlite import open_store
from tests.support.clock import Clock
from tests.support.makers import ME
from tests.support.settings import settings_with
from tests.support.simulated import SimulatedConductor, failed
from worker.conductor.errors import Unreachable
from worker.context import Context
from worker.delivery.answers import AnswerWatcher
from worker.health import Health


def definition(name: str) -> Webhook:
    respond = Respond.model_validate({"wait": "20s", "output": "$.reply"})
    return mock.Mock(spec=Webhook, respond=respond, messages=(), **{"name": name})


class Bench:
    """A watcher that takes a step when the test says so."""

    def __init__(self, folder: Path) -> None:
        self.store = open_store(f"sqlite:///{folder}/bridge.db")
        self.clock = Clock()
        self.began = self.store.now()
        self.conductor = SimulatedConductor(lambda: self.store.now())
        self.is_leader = True
        self.watcher = self.another()
        self.store.leadership.elect("me", 10**9)

    def another(self) -> AnswerWatcher:
        current = mock.Mock(spec=Definitions, by_name={"w": definition("w")})
        source = mock.Mock(spec=DefinitionsSource, current=current)
        settings = settings_with(bridge_database="sqlite:////unused.db")
        conductor: Any = self.conductor
        context = Context(
            settings, self.store, conductor, source, Health(self.store.leadership), self.clock
        )
        return AnswerWatcher(context, lambda: self.is_leader)

    def arrive(self, id_: str = "e1", wait: float = 3600) -> str:
        """An event for whose answer somebody waits, by the store's clock: longer than a busy
        machine takes."""
        now = self.store.now()
        wanted = AnswerWanted("$.reply", now + int(1000 * wait))
        self.store.deliveries.append([NewEvent(id_, "w", now, "{}", {}, {}, now, answer=wanted)])
        return id_

    def decide(self, id_: str, *targets: NewTarget) -> list[Target]:
        now = self.store.now()
        events = self.store.queries.events_of([id_])
        plan = Plan([Decision(id_, "pending", "no", targets)], events)
        return self.store.decisions.decide(ME, plan, now, 99)

    def started(self, id_: str = "e1", workflow: str = "flow", **more: object) -> str:
        """The event starts a workflow; its id."""
        self.arrive(id_, **more)  # type: ignore[arg-type]
        [target] = self.decide(id_, NewTarget("start", workflow, correlation_id=id_))
        workflow_id = self.conductor.begin(workflow).id
        self.record(Result(target, "done", workflow_id=workflow_id))
        return workflow_id

    def record(self, *results: Result) -> None:
        self.store.claims.record_results("me", results, self.store.now())

    def run(self, seconds: float = 0.5, step: float = 0.01) -> None:
        """Lets time pass."""
        end = self.clock.seconds + seconds
        while self.clock.seconds < end:
            assert self.watcher.step() >= 0
            self.clock.seconds += step

    def answer(self, id_: str = "e1") -> Answer | None:
        return self.store.answers.of_events([id_]).get(id_)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


# --- answers


def test_the_value_at_the_path_is_the_answer_once_the_workflow_has_completed(bench: Bench) -> None:
    workflow_id = bench.started()
    bench.run()
    assert bench.answer() is None
    bench.conductor.finish(workflow_id, {"reply": {"text": "hi"}, "secret": 1})
    bench.run()
    found = bench.answer()
    assert found is not None
    assert (found.outcome, found.workflow_id, found.body) == (
        "COMPLETED",
        workflow_id,
        '{"text":"hi"}',
    )


@pytest.mark.parametrize("output", [{}, None, {"other": 1}, [], "text"])
def test_an_output_without_the_value_is_answered_with_null(bench: Bench, output: object) -> None:
    bench.conductor.finish(bench.started(), output)
    bench.run()
    found = bench.answer()
    assert found is not None
    assert (found.outcome, found.body) == ("COMPLETED", "null")


def test_an_answer_that_is_too_large_is_answered_so(bench: Bench) -> None:
    bench.conductor.finish(bench.started("e1"), {"reply": "x" * (LARGEST + 1)})
    bench.conductor.finish(bench.started("e2"), {}, is_apart=True)  # Conductor keeps it elsewhere
    bench.run()
    assert [bench.answer(id_).outcome for id_ in ("e1", "e2")] == [TOO_LARGE, TOO_LARGE]  # type: ignore[union-attr]


def test_a_workflow_that_conductor_no_longer_has_is_gone(bench: Bench) -> None:
    del bench.conductor.workflows[bench.started()]
    bench.run(5)
    found = bench.answer()
    assert found is not None
    assert found.outcome == GONE


def test_the_first_end_counts_even_if_the_workflow_is_retried_then(bench: Bench) -> None:
    workflow_id = bench.started()
    bench.conductor.finish(workflow_id, {}, "FAILED")
    bench.run()
    bench.store.answers.want({"e1": AnswerWanted("$.reply", bench.store.now() + 3_600_000)})
    bench.conductor.finish(workflow_id, {"reply": 1})
    bench.run(3)
    found = bench.answer()
    assert found is not None
    assert found.outcome == "FAILED"


def test_the_time_since_the_end_is_measured(bench: Bench) -> None:
    def count() -> float:
        return REGISTRY.get_sample_value("bridge_answer_seconds_count") or 0

    before = count()
    bench.conductor.finish(bench.started(), {"reply": 1})
    bench.run()
    assert count() == before + 1
    assert REGISTRY.get_sample_value("bridge_answers_watched") == 0


# --- which workflow


def test_the_first_started_workflow_answers_even_if_another_is_started_earlier(
    bench: Bench,
) -> None:
    bench.arrive()
    first, second = bench.decide(
        "e1", NewTarget("start", "flow", correlation_id="1"), NewTarget("start", "flow")
    )
    ids = [bench.conductor.begin("flow").id for _ in range(2)]
    bench.record(Result(second, "done", workflow_id=ids[1]))
    bench.conductor.finish(ids[1], {"reply": 2})
    bench.run(5)
    assert bench.answer() is None
    bench.record(Result(first, "done", workflow_id=ids[0]))
    bench.conductor.finish(ids[0], {"reply": 1})
    bench.run()
    found = bench.answer()
    assert found is not None
    assert found.body == "1"


def messages(bench: Bench) -> list[Target]:
    """Two events, each with the message of a lane, the first one claimed."""
    for id_ in ("e1", "e2"):
        bench.arrive(id_)
        bench.decide(
            id_, NewTarget("message", "flow", correlation_id=id_, lane=id_, otherwise="ignore")
        )
    return bench.store.claims.claim("me", bench.store.now(), 0, 9)


def test_a_workflow_that_got_a_message_answers_unless_the_message_went_nowhere(
    bench: Bench,
) -> None:
    first, second = messages(bench)
    workflow = bench.conductor.begin("flow")
    results = [
        Result(first, "done", workflow_id=workflow.id),
        Result(second, "skipped", "none runs"),
    ]
    bench.conductor.finish(workflow.id, {"reply": 1})
    bench.record(*results)
    bench.run(3)
    found = bench.answer("e1"), bench.answer("e2")
    assert [one and (one.outcome, one.body) for one in found] == [
        ("COMPLETED", "1"),
        ("ignored", None),
    ]


# --- who watches


def test_a_worker_that_leads_no_more_asks_nothing(bench: Bench) -> None:
    bench.started()
    bench.run()
    bench.is_leader = False
    before = len(bench.conductor.workflow_lookups)
    bench.run(3)
    assert len(bench.conductor.workflow_lookups) == before > 0


def test_nothing_is_asked_once_nobody_waits_until_somebody_waits_again(bench: Bench) -> None:
    workflow_id = bench.started(wait=2)
    ahead = bench.store.now() + 3000
    bench.run(3)
    before = len(bench.conductor.workflow_lookups)
    with mock.patch.object(bench.store, "now", lambda: ahead):
        bench.run(5)
        assert len(bench.conductor.workflow_lookups) == before
        bench.conductor.finish(workflow_id, {"reply": 1})
        bench.store.answers.want({"e1": AnswerWanted("$.reply", ahead + 3_600_000)})
        bench.run(3)
    assert bench.answer() is not None


# --- what fails


def test_an_answer_that_the_store_refuses_holds_up_no_others(bench: Bench) -> None:
    record = bench.store.answers.record

    def refusing(answers: list[Answer]) -> None:
        if any(answer.event_id == "e1" for answer in answers):
            raise ValueError("no")
        record(answers)

    with mock.patch.object(bench.store.answers, "record", refusing):
        for id_ in ("e1", "e2", "e3"):
            bench.conductor.finish(bench.started(id_), {"reply": 1})
        bench.run(2)
    assert [bench.answer(id_) is not None for id_ in ("e1", "e2", "e3")] == [False, True, True]


@pytest.mark.parametrize(
    "error", [lambda: failed(500), lambda: Unreachable("no"), lambda: ValueError("a bug")]
)
def test_a_workflow_that_cant_be_read_for_now_is_answered_later(
    bench: Bench, error: object
) -> None:
    workflow_id = bench.started()
    bench.conductor.sick, bench.conductor.sick_answer = {workflow_id}, error  # type: ignore[assignment]
    bench.conductor.finish(workflow_id, {"reply": 1})
    bench.run(3)
    assert bench.answer() is None
    bench.conductor.sick.clear()
    bench.run(12, step=0.05)
    assert bench.answer() is not None
