"""Each part of the benchmarks runs to its end. How much it measures here says nothing about speed."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import figures, held, matching, postgres, relay, strangers, webhooks, workers
from config.webhooks import load_definitions
from platforms import PLATFORMS


def say(_text: str) -> None:
    """Nothing."""


def test_the_relay_beside_a_bare_handler(tmp_path: Path) -> None:
    found = relay.measure(tmp_path, say, rounds=1, seconds=0.2, warm_up=0, longest_wait=0)
    assert {figure.what: figure.value for figure in found}["answers other than 200"] == 0
    assert "rate / bare handler's" in figures.table(found)


def test_webhooks_of_many_kinds_are_definitions(tmp_path: Path) -> None:
    kinds = list(webhooks.kinds_of(tmp_path))
    assert len(kinds) > 50
    (tmp_path / "schema.json").write_text("{}")
    (tmp_path / "webhooks.yaml").write_text(webhooks.text_of(kinds, 200), encoding="utf-8")
    assert len(load_definitions(tmp_path / "webhooks.yaml", PLATFORMS, {}).webhooks) == 201


@pytest.mark.usefixtures("only_new_garbage")
def test_matching(tmp_path: Path) -> None:
    assert len(matching.measure(tmp_path, say, few=10, many=100, rounds=3)) == 6


@pytest.mark.slow
@pytest.mark.long
def test_postgresql_beside_sqlite(tmp_path: Path) -> None:
    effort = postgres.Effort(rounds=1, seconds=0.2, calls=500, miles=1, idle=0.1, settling=0.1, lives=16)
    found = postgres.measure(tmp_path, say, effort)
    figures.write(found, tmp_path / "bench.json")
    assert "calls of two workers" in (tmp_path / "bench.json").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.long
def test_workers_beside_those_of_another_checkout(tmp_path: Path) -> None:
    effort = workers.Effort(rounds=1, events=6000, workers=2, settling=0.2)
    (tmp_path / "other").symlink_to(workers.ROOT)
    found = workers.measure(tmp_path, say, tmp_path / "other", effort)
    assert [figure.goal for figure in found] == ["", "", ">= 1", "<= 1", "<= 1"]


@pytest.mark.long
def test_a_snapshot_that_is_held(tmp_path: Path) -> None:
    found = held.measure(tmp_path, say, held.Effort(events=256, measured=128))
    assert found[0].what == "an event's life"


@pytest.mark.slow
def test_what_strangers_cost(tmp_path: Path) -> None:
    answers_are_right, found = strangers.measure(tmp_path, 80, rounds=1, seconds=0.2, to_settle=0.2, warm_up=0)
    assert answers_are_right
    assert {figure.what: figure.value for figure in found}["tracebacks in the log"] == 0
