"""Each part of the benchmarks runs to its end. How much it measures here says nothing about speed."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.webhooks import load_definitions
from platforms import PLATFORMS
from tests.support.postgres_backend import all_the_time
from tools.bench import figures, matching, relay, strangers, webhooks, workers


def say(_text: str) -> None:
    """Nothing."""


def test_the_relay_beside_a_bare_handler(tmp_path: Path) -> None:
    found = relay.measure(tmp_path, say, rounds=1, seconds=0.2, warm_up=0, longest_wait=0)
    values = {figure.what: figure.value for figure in found}
    assert values["answers other than 200"] == values["answers without an event in the store"] == 0
    assert "rate / bare handler's" in figures.table(found)


def test_webhooks_of_many_kinds_are_definitions(tmp_path: Path) -> None:
    kinds = list(webhooks.kinds_of(tmp_path))
    assert len(kinds) > 50
    (tmp_path / "schema.json").write_text("{}")
    (tmp_path / "webhooks.yaml").write_text(webhooks.text_of(kinds, 200), encoding="utf-8")
    assert len(load_definitions(tmp_path / "webhooks.yaml", PLATFORMS, {}).webhooks) == 200


@pytest.mark.usefixtures("only_new_garbage")
def test_matching(tmp_path: Path) -> None:
    assert len(matching.measure(tmp_path, say, few=10, many=100, rounds=3)) == 6


@pytest.mark.slow
@pytest.mark.long
def test_two_workers_beside_one(tmp_path: Path) -> None:
    effort = workers.Effort(rounds=1, events=6000, settling=0.2, idle=0.1)
    with all_the_time():
        found = workers.measure(tmp_path, say, effort)
    figures.write(found, tmp_path / "bench.json")
    assert "two / one" in (tmp_path / "bench.json").read_text(encoding="utf-8")


@pytest.mark.slow
def test_what_strangers_cost(tmp_path: Path) -> None:
    answers_are_right, found = strangers.measure(
        tmp_path, 80, rounds=1, seconds=0.2, to_settle=0.2, warm_up=0
    )
    assert answers_are_right
    assert {figure.what: figure.value for figure in found}["tracebacks in the log"] == 0
