"""What a soak counts and shows: effects that are missing or too many, and whether anything grows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tools.soak.audit import Verdict, audit
from tools.soak.gauges import Sample, table
from tools.soak.load import Account

DONE = {"workflowId": "w", "status": "COMPLETED", "output": {"eventId": "e1"}}
UNSEEN = {"workflowId": "w", "status": "COMPLETED", "output": {"eventId": "e1"}, "unseen": True}
"""One that the index lacks."""
GIVEN_UP = {
    "workflowId": "w",
    "status": "FAILED",
    "reasonForIncompletion": "Error scheduling tasks: x",
}


GIVEN_UP_IN_A_LOOP = {
    **GIVEN_UP,
    "reasonForIncompletion": "Unable to evaluate condition x, exception Error scheduling tasks: x",
}


class Shown:
    """A Conductor that shows these workflows: name → correlation id → workflows. Its index lacks
    some of them."""

    def __init__(self, **shown: dict[str, list[dict[str, Any]]]) -> None:
        self._shown = shown

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """What it answers to a search, and to `correlated`."""
        if method == "GET":
            name = path.split("'")[1].removesuffix("_x")
            return {"results": list(self._listed(name))}
        found = self._shown.get(path.split("/")[2].removesuffix("_x"), {})
        return {id_: found[id_] for id_ in body or [] if id_ in found}

    def _listed(self, name: str) -> Iterator[dict[str, Any]]:
        for id_, workflows in self._shown.get(name, {}).items():
            for one in workflows:
                if one["status"] == "COMPLETED" and "unseen" not in one:
                    yield {**one, "correlationId": id_, "output": "{eventId=e1}"}


@pytest.mark.parametrize(
    ("account", "shown", "verdict"),
    [
        (Account(started=["e1"]), {"soak_started": {"e1": [DONE]}}, Verdict((), (), 0)),
        (Account(started=["e1"]), {}, Verdict(("e1",), (), 0)),
        (Account(started=["e1"]), {"soak_started": {"e1": [DONE, DONE]}}, Verdict((), ("e1",), 0)),
        (Account(started=["e1"]), {"soak_started": {"e1": [GIVEN_UP, DONE]}}, Verdict((), (), 0)),
        (
            Account(started=["e1"]),
            {"soak_started": {"e1": [DONE, UNSEEN]}},
            Verdict((), ("e1",), 0),
        ),
        (Account(started=["e1"]), {"soak_started": {"e1": [GIVEN_UP]}}, Verdict((), (), 1)),
        (Account(resumed={"k": "e1"}), {"soak_resumed": {"k": [DONE]}}, Verdict((), (), 0)),
        (Account(resumed={"k": "e2"}), {"soak_resumed": {"k": [DONE]}}, Verdict((), ("e2",), 0)),
        (Account(resumed={"k": "e1"}), {"soak_resumed": {"k": [GIVEN_UP]}}, Verdict((), (), 1)),
        (
            Account(resumed={"k": "e1"}),
            {"soak_resumed": {"k": [GIVEN_UP_IN_A_LOOP]}},
            Verdict((), (), 1),
        ),
        (
            Account(resumed={"k": "e1"}),
            {"soak_resumed": {"k": [{"workflowId": "w", "status": "RUNNING"}]}},
            Verdict(("e1",), (), 0),
        ),
        (Account(groups={"g": ["e1", "e2"]}), {"soak_once": {"e2": [DONE]}}, Verdict((), (), 0)),
        (Account(groups={"g": ["e1", "e2"]}), {}, Verdict(("e1",), (), 0)),
        (
            Account(groups={"g": ["e1", "e2"]}),
            {"soak_once": {"e1": [DONE], "e2": [DONE]}},
            Verdict((), ("e1",), 0),
        ),
    ],
)
def test_each_effect_that_is_missing_or_too_many_is_counted(
    account: Account, shown: dict[str, Any], verdict: Verdict
) -> None:
    assert audit(Shown(**shown), "x", account, patience=-1) == verdict


def test_the_first_and_the_last_part_stand_side_by_side() -> None:
    samples = [Sample(at, "worker: threads", at / 10) for at in range(0, 301, 10)]
    [head, _, row] = table(samples, 300).splitlines()
    assert "first 2 min" in head
    assert "last 2 min" in head
    assert row.split()[2:] == ["5", "(10)", "25", "(30)"]
