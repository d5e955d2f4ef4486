"""A page of the documentation: its definitions, its commands and what they print, to be run as they
stand there."""

from __future__ import annotations

import json
import re
import shlex
import textwrap
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tools.servers import PATIENCE
from tools.servers.processes import ROOT

RECIPES = sorted(
    page.stem for page in (ROOT / "docs" / "recipes").glob("*.md") if page.stem != "README"
)

_CONSOLES = re.compile(r"^( *)```(?:console|sh|bash)?\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_NORMAL = {
    r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b": "ID",
    r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)": "TIME",
    r"\b\d\d:\d\d UTC": "CLOCK",
    r"\bsha256:[0-9a-f]+…?": "DIGEST",
    r"\b(localhost|127\.0\.0\.1):\d+": "localhost:PORT",
    r"\b\d+(\.\d+)? (ms|s|min|h)\b": "SPAN",
    # Other tests' workflows on the same server may have similar names.
    r"no workflow (\w+); did you mean \S+\?": r"no workflow \1; register it there, or correct the name",
    r"\s+": " ",
}


@dataclass
class Step:
    """A command of a page, and what the page shows that it prints: `…` stands for anything."""

    command: str
    shown: list[str] = field(default_factory=list)

    def is_shown(self, printed: str) -> bool:
        """Whether the command has printed what the page shows; ids, times, ports and spaces may
        differ."""
        pattern = re.escape(_normal("\n".join(self.shown))).replace("…", ".*")
        return not self.shown or re.fullmatch(pattern, _normal(printed), re.DOTALL) is not None


def _normal(text: str) -> str:
    for pattern, word in _NORMAL.items():
        text = re.sub(pattern, word, text)
    return text.strip()


class Document:
    """The page at this path in the project's folder."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.text = (ROOT / path).read_text(encoding="utf-8")

    def blocks(self, language: str) -> list[str]:
        """The blocks of code in that language."""
        return re.findall(rf"^```{language}\n(.*?)^```", self.text, re.MULTILINE | re.DOTALL)

    @cached_property
    def steps(self) -> list[Step]:
        """Its commands, each after a `$`, in order."""
        steps: list[Step] = []
        for _, block in _CONSOLES.findall(self.text):
            steps += _steps(textwrap.dedent(block))
        return steps

    # --- of recipes

    @property
    def webhooks(self) -> str:
        """Its definitions."""
        [block] = self.blocks("yaml")
        return str(block)

    def workflow(self, services: str) -> dict[str, Any]:
        """Its workflow, with all calls sent to that URL, as docs/recipes/README.md says."""
        [block] = self.blocks("json")
        workflow: dict[str, Any] = json.loads(
            block.replace('"uri": "https://', f'"uri": "{services}/')
        )
        make_patient(workflow)
        return workflow

    @property
    def secrets(self) -> set[str]:
        """The names of Conductor's secrets in it."""
        return set(re.findall(r"\$\{workflow\.secrets\.(\w+)\}", self.text))


def make_patient(workflow: dict[str, Any]) -> None:
    """Gives its calls more time than Conductor's three seconds: a call that is late fails the
    workflow."""
    for task in workflow["tasks"]:
        request = task.get("inputParameters", {}).get("http_request", {})
        request.setdefault("readTimeOut", int(PATIENCE * 1000))


def recipe(name: str) -> Document:
    """The page of docs/recipes of that name."""
    return Document(f"docs/recipes/{name}.md")


def _steps(block: str) -> list[Step]:
    steps: list[Step] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            steps.append(Step(line[2:]))
        elif steps and not _is_complete(steps[-1].command):
            steps[-1].command += f"\n{line}"
        elif steps:
            steps[-1].shown.append(line)
    return steps


def _is_complete(command: str) -> bool:
    """Whether the shell would run it, rather than wait for another line."""
    if here := re.search(r"<<'?(\w+)'?", command):
        return re.search(rf"^{here[1]}$", command, re.MULTILINE) is not None
    if command.endswith(("\\", "|")):
        return False
    try:
        shlex.split(command, comments=True)
    except ValueError:  # a quote is open
        return False
    return True
