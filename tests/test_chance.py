"""A run whose tests are in random order and draw at random can be repeated."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.servers.processes import ROOT

_DRAWS = """
import random
import pytest
from hypothesis import given, settings, strategies as st

@pytest.mark.parametrize("number", range(30))
def test_ordinary(number):
    print("drawn", number, random.random(), hash("text"))

@settings(max_examples=5, database=None)
@given(st.integers())
def test_examples(number):
    print("drawn", number)
"""


def drawn(module: Path) -> list[str]:
    """What tests draw in pytest-xdist's process."""
    options = ["-p", "tests.conftest", "-c", ROOT / "pyproject.toml", "-rA", "-n1"]
    command = [sys.executable, "-m", "pytest", *options, module]
    environment = {**os.environ, "TEST_SEED": "1"}
    environment.pop("PYTHONHASHSEED")
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "TEST_SEED=1 before the same command repeats them" in done.stdout
    return [line for line in done.stdout.splitlines() if line.startswith("drawn ")]


@pytest.mark.long  # two runs of pytest
def test_a_seed_repeats_order_examples_and_whatever_is_random(tmp_path: Path) -> None:
    module = tmp_path / "test_drawn.py"
    module.write_text(_DRAWS)
    first = drawn(module)
    assert len({line.split()[1] for line in first}) >= 30
    assert first != sorted(first)
    assert drawn(module) == first
