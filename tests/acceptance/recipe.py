"""A page of docs/recipes: its definitions and its commands, to be run as they stand there."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any
from urllib.parse import urlsplit

from click.testing import CliRunner

from admin.cli import main
from testkit.client import Conductor
from testkit.processes import ROOT
from tests.acceptance.bridge import Bridge

FOLDER = ROOT / "docs" / "recipes"
NAMES = sorted(page.stem for page in FOLDER.glob("*.md") if page.stem != "README")


class Recipe:
    """The page of that name, without `.md`."""

    def __init__(self, name: str) -> None:
        self.text = (FOLDER / f"{name}.md").read_text(encoding="utf-8")

    def _blocks(self, language: str) -> list[str]:
        return re.findall(rf"^```{language}\n(.*?)^```", self.text, re.MULTILINE | re.DOTALL)

    @property
    def webhooks(self) -> str:
        """Its definitions, from the first webhook on."""
        [block] = self._blocks("yaml")
        return str(block).removeprefix("webhooks:\n")

    def workflow(self, services: str) -> dict[str, Any]:
        """Its workflow, with all calls sent to that URL, as docs/recipes/README.md says."""
        [block] = self._blocks("json")
        workflow: dict[str, Any] = json.loads(block.replace('"uri": "https://', f'"uri": "{services}/'))
        return workflow

    @property
    def secrets(self) -> set[str]:
        """The names of Conductor's secrets in it."""
        return set(re.findall(r"\$\{workflow\.secrets\.(\w+)\}", self.text))

    @property
    def commands(self) -> list[list[str]]:
        """The words of each command of its consoles, in order."""
        consoles = "".join(self._blocks("console"))
        return [shlex.split(command) for command in re.split(r"^\$ ", consoles, flags=re.MULTILINE) if command]


def run(command: list[str], bridge: Bridge, conductor: Conductor) -> str:
    """Runs a command of a page; the event's id, or the workflow's. `curl` is done without, as not everybody has it."""
    program, *arguments = command
    if program == "webhook-bridge":  # in this process: its start takes more time than all the rest
        answer = CliRunner().invoke(main, arguments, env=bridge.environment, catch_exceptions=False)
        assert answer.exit_code == 0, answer.output
        return str(json.loads(answer.stdout.partition("\n")[2]).get("eventId"))
    assert program == "curl", command
    [url] = [argument for argument in arguments if argument.startswith("http://localhost:8080/api/")]
    body = json.loads(arguments[arguments.index("-d") + 1])
    return str(conductor.call("POST", urlsplit(url).path.removeprefix("/api"), body))
