"""The parts of the benchmarks that measure on a real Conductor server run to their end."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import answers, conductor


def say(_text: str) -> None:
    """Nothing."""


@pytest.mark.slow
@pytest.mark.long
def test_a_real_conductor_server(conductor_url: str, tmp_path: Path) -> None:
    effort = conductor.Effort(last_miles=1, tasks=10, rounds=1, stored=100, finished=1000, soak_events=20)
    areas = {figure.area for figure in conductor.measure_on(conductor_url, tmp_path, say, effort)}
    assert areas == {"last mile", "throughput", "start-up", "soak"}


@pytest.mark.slow
@pytest.mark.long
def test_how_soon_senders_are_answered(conductor_url: str, tmp_path: Path) -> None:
    effort = answers.Effort(at_a_time=5, seconds=1, lasts=1, warm_up=0)
    found = answers.measure_on(conductor_url, tmp_path, say, effort)
    assert [figure.area for figure in found] == ["answers", "answers"]
