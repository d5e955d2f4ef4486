"""The quick start's commands print what it shows, where nothing has happened yet."""

from __future__ import annotations

import os

import pytest

from tests.acceptance.shell import Shell
from tests.support.pages import LEFT_OUT, PAGES
from tools.demo import sample
from tools.servers.client import Conductor


@pytest.mark.skipif(
    "TEST_CONDUCTOR_SERVER_URL" in os.environ, reason="others' workflows may wait on that server"
)
def test_the_quick_start_does_what_it_shows(shell: Shell, conductor_url: str) -> None:
    sample.register(Conductor(conductor_url))
    for step in PAGES["docs/quickstart.md"].steps:
        if step.command not in LEFT_OUT:
            shell.play(step)
