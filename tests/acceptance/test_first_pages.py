"""The pages for whoever has a Conductor, from an empty folder on: their commands run as they stand
there and print what the pages show."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bridge import unique
from tests.support.document import Step
from tests.support.pages import LEFT_OUT, PAGES
from tools.demo import preparations
from tools.servers import PATIENCE
from tools.servers.client import Conductor, outputs, wait_for
from tools.servers.processes import Child, free_port, status_of

pytestmark = pytest.mark.slow(60)

README = PAGES["README.md"]
ORKES = [
    {
        "name": "payments",
        "sourcePlatform": "Stripe",
        "verifier": "STRIPE",
        "secretValue": "hidden",
        "receiverWorkflowNamesToVersions": {"settle": 1},
        "workflowsToStart": {},
    }
]
PUSH = {
    "repository": {"full_name": "acme/shop"},
    "ref": "refs/heads/main",
    "commits": [{"message": "Sell more"}],
}


class Terminal:
    """A terminal in an empty folder. `CONDUCTOR_SERVER_URL` and ports are the tests'; everything
    else is as made."""

    def __init__(self, folder: Path, conductor_url: str) -> None:
        self.folder = folder
        self.port = free_port()
        known = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
        self.environment = known | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "CONDUCTOR_SERVER_URL": conductor_url,
            "PORT": str(self.port),
            "ADMIN_PORT": str(free_port()),
            "BRIDGE_RELAY_METRICS": "off",
            "BRIDGE_WORKER_METRICS": "off",
        }
        self._child: Child | None = None

    def start(self, command: str) -> None:
        """Runs a command that stays, until the relay is ready."""
        log = self.folder.parent / "run.log"
        self._child = Child(
            "the bridge", ["bash", "-c", command], log, self.environment, self.folder
        )
        self._child.wait_until(lambda: status_of(f"http://127.0.0.1:{self.port}/readyz") == 200)

    def stop(self) -> None:
        """Ends it, as Ctrl-C does."""
        if self._child is not None:
            self._child.stop()

    def run(self, command: str) -> str:
        """What the command prints; it must not fail."""
        answer = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert answer.returncode == 0, f"$ {command}\n{answer.stdout}"
        return answer.stdout

    def play(self, step: Step) -> None:
        """Runs the step; it must print what the page shows."""
        printed = self.run(step.command)
        assert step.is_shown(printed), f"$ {step.command}\n{printed}\nthe page shows\n" + "\n".join(
            step.shown
        )


def block(language: str) -> str:
    """README's first block in that language."""
    [found] = re.findall(
        rf"^( *)```{language}\n(.*?)^\1```", README.text, re.MULTILINE | re.DOTALL
    )[:1]
    return textwrap.dedent(found[1])


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory, conductor_url: str) -> Iterator[Terminal]:
    """In the folder that README's first command has made, while what it has started runs."""
    terminal = Terminal(tmp_path_factory.mktemp("empty"), conductor_url)
    [first] = README.steps
    assert first.command.endswith("webhook-bridge run")
    try:
        terminal.start(first.command)
        terminal.folder /= "hooks"
        yield terminal
    finally:
        terminal.stop()


@pytest.fixture
def terminal(started: Terminal) -> Iterator[Terminal]:
    """The same, with the first definition alone."""
    yield started
    for file in (started.folder / "webhooks").glob("*.yaml"):
        if file.name != "hello.yaml":
            file.unlink()


def test_readme_leads_from_an_empty_folder_to_a_completed_workflow(
    terminal: Terminal, conductor: Conductor
) -> None:
    workflow, definition = unique("deploy"), block("yaml")
    conductor.register(workflow, [json.loads(block("json"))])
    workflow_id = conductor.start(workflow, ref=PUSH["ref"])
    rows = re.findall(
        r"^ *\| `(.*?)` \| any file `(.*?)` \| `(.*?)` \|$", README.text, re.MULTILINE
    )
    places = {started_by: (definitions, secrets) for started_by, definitions, secrets in rows}
    definitions, secrets = places["webhook-bridge run"]
    assert places["make run"] == (f"{preparations.DEFINITIONS}/*.yaml", ".env")
    (terminal.folder / definitions.replace("*", "first")).write_text(
        definition.replace("deploy:", f"{workflow}:")
    )
    with (terminal.folder / secrets).open("a") as file:
        file.write("GITHUB_WEBHOOK_SECRET=a-long-secret-of-the-tests-4711\n")
    assert "webhooks (first.yaml, hello.yaml): 2 webhooks, no errors" in terminal.run(
        "webhook-bridge check --offline"
    )
    send = f"webhook-bridge send github-deploys --header 'X-GitHub-Event: push' --data '{json.dumps(PUSH)}'"
    # The relay reads the file within five seconds.
    wait_for(lambda: "eventId" in terminal.run(f"{send} || true"), "the webhook is there")
    conductor.wait_for_status(workflow_id)
    [event] = outputs(conductor.workflow(workflow_id), "wait_for_push")
    assert event["commits"][0]["message"] == "Sell more"


def test_orkes_webhooks_are_moved_to_the_bridge(terminal: Terminal) -> None:
    (terminal.folder / "orkes-webhook.json").write_text(json.dumps(ORKES))
    for step in PAGES["docs/orkes.md"].steps:
        if step.command not in LEFT_OUT:
            terminal.play(step)


def test_a_backup_is_made_while_all_runs_and_restored(terminal: Terminal) -> None:
    send, events = "webhook-bridge send hello --data '{}'", "webhook-bridge events --json"
    terminal.run(send)
    before = json.loads(terminal.run(events))
    [backup, *restore] = [
        step for step in PAGES["docs/operations.md"].steps if step.command not in LEFT_OUT
    ]
    terminal.play(backup)
    terminal.run(send)
    terminal.stop()
    for step in restore:
        terminal.play(step)
    terminal.start("webhook-bridge run")
    assert [one["eventId"] for one in json.loads(terminal.run(events))] == [
        one["eventId"] for one in before
    ]
