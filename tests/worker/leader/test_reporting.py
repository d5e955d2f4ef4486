"""What the leader finds out about Conductor is said once, and again when it changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from config.webhooks import Definitions, Webhook
from store.reports import Reports
from tests.support.clock import Clock
from worker import metrics
from worker.conductor.errors import ConductorError
from worker.leader import reporting
from worker.leader.reporting import Checks, Reporter

HOOK = Webhook.model_validate(
    {"name": "hook", "receivers": {"deploy": "any"}, "starts": ({"workflow": "on_push"},)}
)
WAIT = {"type": "WAIT_FOR_WEBHOOK", "taskReferenceName": "wait", "inputParameters": {"matches": {}}}


class Registry:
    """A Conductor that has `deploy`, and `on_push` once it is registered."""

    def __init__(self) -> None:
        self.versions: dict[str, list[int]] = {"deploy": [1]}
        self.error: ConductorError | None = None
        self.asked = 0

    def within(self, seconds: float) -> Registry:
        return self

    def webhooks(self) -> None:
        """It has none of its own."""

    def workflow_versions(self) -> dict[str, list[int]]:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return self.versions

    def workflow_definition(self, name: str, version: int) -> dict[str, Any]:
        return {"name": name, "version": version, "tasks": [WAIT]}


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def clock() -> Clock:
    return Clock(1000)


class Written:
    """The reports in a store, and how often each was written."""

    def __init__(self) -> None:
        self.last = Reports()
        self.writes = Counter[str]()

    def write(self, reports: Reports) -> None:
        self.writes.update(name for name, value in vars(reports).items() if value is not None)
        self.last = self.last.updated(reports)


@pytest.fixture
def written() -> Written:
    return Written()


@pytest.fixture
def checks(registry: Registry, clock: Clock, written: Written) -> Iterator[Checks]:
    context: Any = mock.Mock(conductor=registry, clock=clock, store=mock.Mock(reports=written))
    with mock.patch.object(reporting, "missing_calls", return_value=[]):
        yield Checks(context)


def test_new_definitions_are_compared_at_once_and_the_same_ones_every_five_minutes(
    registry: Registry, clock: Clock, checks: Checks
) -> None:
    first, second = Definitions((HOOK,)), Definitions((HOOK,))
    for definitions, seconds, asked in (
        (first, 0, 1),
        (first, 299, 1),
        (second, 0, 2),
        (second, 301, 3),
    ):
        clock.seconds += seconds
        checks.run(definitions)
        assert registry.asked == asked


def test_what_does_not_fit_is_logged_noted_and_counted_until_it_fits(
    checks: Checks, registry: Registry, written: Written
) -> None:
    missing = "Conductor has no workflow on_push; register it there, or correct the name (hook)"
    with capture_logs() as logs:
        for versions, problems in (
            ({"deploy": [1]}, missing),
            ({"deploy": [1], "on_push": [1]}, None),
        ):
            registry.versions = versions
            checks.run(Definitions((HOOK,)))
            assert [str(one) for one in written.last.misfits or ()] == (
                [problems] if problems else []
            )
    assert written.writes["misfits"] == 2
    assert [(line["log_level"], line["problems"]) for line in logs] == [("warning", [missing])]
    assert REGISTRY.get_sample_value("bridge_workflow_problems") == 0


def test_of_very_many_problems_some_are_noted_and_all_counted_by_this_leader_alone(
    checks: Checks, written: Written
) -> None:
    names = {f"workflow_{number}": "any" for number in range(80)}
    checks.run(Definitions((Webhook.model_validate({"name": "hook", "receivers": names}),)))
    lines = written.last.misfits or ()
    assert len(lines) == 21
    assert str(lines[-1]) == "and 60 more: webhook-bridge check"
    assert REGISTRY.get_sample_value("bridge_workflow_problems") == 80
    metrics.leadership_over()
    assert REGISTRY.get_sample_value("bridge_workflow_problems") == 0


def test_calls_that_can_not_be_made_are_tried_every_five_minutes_until_all_can(
    checks: Checks, clock: Clock, written: Written
) -> None:
    definitions = Definitions(())
    with mock.patch.object(reporting, "missing_calls", return_value=["POST /workflow"]) as tried:
        for seconds, tries in ((0, 1), (299, 1), (1, 2)):
            clock.seconds += seconds
            checks.run(definitions)
            assert (tried.call_count, written.last.missing_calls) == (tries, "POST /workflow")
        tried.return_value = []
        for _ in range(3):
            clock.seconds += 300
            checks.run(definitions)
            assert (tried.call_count, written.last.missing_calls) == (3, "")


def test_the_way_in_which_tasks_are_found_is_said_when_it_works_and_at_each_change() -> None:
    store, index = mock.Mock(), mock.Mock(way="search", reason="", proven=False)
    reporter = Reporter(store)
    reporter.discovery(index)
    assert store.reports.write.call_args_list == [], "none has worked yet"
    for reason in ("500 a", "500 a", "500 b"):
        index.way, index.reason, index.proven = "workflows", reason, True
        reporter.discovery(index)
        reporter.discovery(index)
    said = [call.args for call in store.reports.write.call_args_list]
    assert said == [(Reports(discovery=f"workflows: 500 {each}"),) for each in "ab"]
