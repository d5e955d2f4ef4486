"""`make demo`: a signed Slack event completes a waiting workflow on a real server; nothing stays
running.

`make demo KILL=1` (here `--kill`): many wait, and the worker is killed as it completes them.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tools.demo import sample, signing
from tools.servers.client import Answer, Conductor, RequestFailed, http, until_stored, wait_for
from tools.servers.conductor import ConductorServer, say
from tools.servers.processes import (
    Child,
    Failed,
    bridge_environment,
    check_port,
    free_port,
    start_relay,
    start_worker,
    stop_all,
    stop_all_on_exit,
)

WAITING = 20
"""How many workflows wait for the message when the worker is killed."""
PACE = "    pace: 5/s\n"
"""Of the webhook then, so that there is a middle to kill the worker in."""


def line(text: str = "") -> None:
    """Prints a line at once."""
    print(text, flush=True)


def step(text: str) -> None:
    """Prints the headline of a step."""
    line(f"\n== {text}")


def find_conductor(folder: Path) -> Conductor:
    """The server of CONDUCTOR_SERVER_URL if that is set, else one of our own, started in the
    folder."""
    given = os.environ.get("CONDUCTOR_SERVER_URL")
    if not given:
        server = ConductorServer(folder / "conductor")
        server.start()
        return Conductor(server.url)
    line(f"Conductor at {given} (CONDUCTOR_SERVER_URL)")
    try:
        conductor = Conductor(
            given, os.environ.get("CONDUCTOR_AUTH_KEY"), os.environ.get("CONDUCTOR_AUTH_SECRET")
        )
        conductor.call("GET", "/metadata/workflow/names-and-versions")
    except RequestFailed as error:
        raise Failed(
            f"Conductor doesn't answer at CONDUCTOR_SERVER_URL (it ends with /api): {error}; "
            "unset it to have a server started here"
        ) from None
    return conductor


class Play:
    """The example's processes and what it asks of them."""

    def __init__(self, folder: Path, definitions: str) -> None:
        self.folder = folder
        self.worker: Child
        self.secret = secrets.token_hex(16)
        port = int(os.environ.get("PORT") or free_port())
        check_port(port, "PORT", "the relay")
        step("A Conductor server")
        self.conductor = find_conductor(folder)
        file = folder / "webhooks.yaml"
        file.write_text(definitions)
        self.environment = bridge_environment(
            bridge_webhooks=str(file),
            bridge_database=f"sqlite:///{folder / 'bridge.db'}",
            bridge_relay_metrics="off",
            bridge_worker_metrics="off",
            slack_signing_secret=self.secret,
            conductor_server_url=self.conductor.url,
            conductor_auth_key=os.environ.get("CONDUCTOR_AUTH_KEY", ""),
            conductor_auth_secret=os.environ.get("CONDUCTOR_AUTH_SECRET", ""),
            port=str(port),
        )
        self.url = f"http://localhost:{port}/webhook/{sample.WEBHOOK}"

    def start(self) -> None:
        """Starts relay and worker."""
        step("The bridge: relay and worker")
        # Another bridge may be using that, and the demo leaves nothing behind.
        if os.environ.get("BRIDGE_DATABASE"):
            line("their store is a separate file, not BRIDGE_DATABASE (which `make run` uses)")
        start_relay(self.environment, self.folder / "relay.log", self.folder)
        self.start_worker()
        line(f"the relay listens at {self.url}")

    def start_worker(self) -> None:
        """Starts a worker."""
        self.worker = start_worker(self.environment, self.folder / "worker.log", self.folder)

    def webhook_status(self) -> str:
        """Unverified or Verified, as the command line tells it."""
        [webhook] = self.command_line("webhooks")
        return str(webhook["status"])

    def command_line(self, *arguments: str) -> Any:
        """What `webhook-bridge` prints with --json."""
        words = " ".join([*arguments, "--json"])
        program = str(Path(sys.executable).parent / "webhook-bridge")
        command = [program, *arguments, "--json"]
        answer = subprocess.run(
            command,
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        if answer.returncode:
            raise Failed(
                f"`webhook-bridge {words}` ended with {answer.returncode}: {answer.stderr.strip()}"
            )
        return json.loads(answer.stdout)

    def post(self, body: bytes, secret: str) -> Answer:
        """Posts a request as Slack does, signed with that secret."""
        return http("POST", self.url, body, signing.slack(secret, body))


def expect(condition: bool, what: str, answer: Any = "") -> None:
    """Raises Failed unless the expected step has happened."""
    if not condition:
        raise Failed(f"{what}: {answer}")


def play(folder: Path, kill: bool) -> None:
    """Plays the example and prints each step. Raises Failed at the first that doesn't go as
    expected."""
    bridge = Play(folder, sample.DEFINITIONS + (PACE if kill else ""))
    bridge.start()
    _verify(bridge)
    if kill:
        _complete_many(bridge)
    else:
        _complete_one(bridge)


def _verify(bridge: Play) -> None:
    """Registers the workflow, and answers Slack's challenge."""
    step(f"The workflow {sample.WORKFLOW}")
    sample.register(bridge.conductor)
    line(
        f"registered: its task {sample.TASK} (WAIT_FOR_WEBHOOK) matches \"$['event']['type']\": \"message\""
    )

    step(f"The webhook {sample.WEBHOOK}")
    status = bridge.webhook_status()
    expect(status == "Unverified", "a new webhook should be Unverified", status)
    line(status)
    text = secrets.token_hex(8)
    answer = bridge.post(sample.challenge(text), bridge.secret)
    expect(
        answer.status == 200 and answer.json == {"challenge": text},
        "the challenge was not answered",
        answer,
    )
    line(f"Slack's challenge {text} (signed) → {answer.status} {answer.text.strip()}")
    status = bridge.webhook_status()
    expect(status == "Verified", "an answered challenge should verify the webhook", status)
    line(status)


def _complete_one(bridge: Play) -> None:
    """A workflow waits for a message, and gets it."""
    step("A workflow waits")
    workflow_id = bridge.conductor.start(sample.WORKFLOW)
    task = bridge.conductor.wait_for_task(workflow_id, sample.TASK)
    line(f"workflow {workflow_id}: {bridge.conductor.status(workflow_id)}")
    line(f"task     {task['taskId']}: {task['status']}")

    step("A message in Slack")
    body = sample.message("Hello from Slack")
    forged = bridge.post(body, "not the secret")
    expect(forged.status == 401, "a forged event should be refused", forged)
    line(
        f"posted with a wrong signature → {forged.status}; workflow: {bridge.conductor.status(workflow_id)}"
    )
    posted = time.monotonic()
    answer = until_stored(lambda: bridge.post(body, bridge.secret))
    expect(answer.status == 200, "the event was not accepted", answer)
    line(f"posted with Slack's signature → {answer.status} {answer.text.strip()}")

    wait_for(
        lambda: bridge.conductor.status(workflow_id) != "RUNNING", f"workflow {workflow_id} goes on"
    )
    taken = (time.monotonic() - posted) * 1000
    workflow = bridge.conductor.workflow(workflow_id)
    expect(
        workflow["status"] == "COMPLETED", "the workflow should be COMPLETED", workflow["status"]
    )
    line(
        f"\nworkflow {workflow_id}: RUNNING → {workflow['status']} ({taken:.0f} ms after the post)"
    )
    output = next(task for task in workflow["tasks"] if task["referenceTaskName"] == sample.TASK)[
        "outputData"
    ]
    expect(
        output.get("event") == json.loads(body)["event"],
        "the task's output should be the event",
        output,
    )
    line(f"the output of {sample.TASK}:")
    line(json.dumps(output, indent=2))


def _complete_many(bridge: Play) -> None:
    """Workflows wait for a message; the worker is killed when it has told some of them."""
    step(f"{WAITING} workflows wait")
    waiting = [bridge.conductor.start(sample.WORKFLOW) for _ in range(WAITING)]
    for workflow_id in waiting:
        bridge.conductor.wait_for_task(workflow_id, sample.TASK)
    line(f"{_statuses(bridge, waiting)}; the webhook's pace is five calls a second")

    step("A message in Slack, and kill -9 of the worker in the middle")
    body = sample.message("Hello from Slack")
    answer = until_stored(lambda: bridge.post(body, bridge.secret))
    expect(answer.status == 200, "the event was not accepted", answer)
    event_id = answer.json["eventId"]
    line(f"posted with Slack's signature → {answer.status} {answer.text.strip()}")
    wait_for(lambda: "target done" in bridge.worker.output(), "the first workflow is completed")
    bridge.worker.kill()
    line(f"kill -9 of the worker: workflows {_statuses(bridge, waiting)}")
    kept = bridge.command_line("events", "show", event_id)
    targets = Counter(target["state"] for target in kept["targets"])
    expect(targets["done"] < WAITING, "the worker should have been killed before it was done")
    line(f"kept in the store: the event, {kept['status']}; its targets {_counts(targets)}")

    step("A new worker")
    bridge.start_worker()
    wait_for(
        lambda: "RUNNING" not in _statuses(bridge, waiting), "the other workflows are completed"
    )
    for workflow_id in waiting:
        completed = [
            task["workerId"]
            for task in bridge.conductor.workflow(workflow_id)["tasks"]
            if task["status"] == "COMPLETED"
        ]
        expect(completed == [event_id], f"{workflow_id} should have the event once", completed)
    line(f"workflows {_statuses(bridge, waiting)}, each by event {event_id}")
    line("\nThe accepted event was kept: nothing was lost, and nothing was done twice.")


def _statuses(bridge: Play, workflow_ids: list[str]) -> str:
    return _counts(Counter(bridge.conductor.status(one) for one in workflow_ids))


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))


def main() -> int:
    """Plays the example and cleans up; 0, or 1 with the reason."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.demo", description="Plays the Slack example."
    )
    parser.add_argument("--kill", action="store_true", help="kill the worker in the middle")
    given = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    stop_all_on_exit()
    began = time.monotonic()
    code = 0
    with tempfile.TemporaryDirectory(
        prefix="webhook-bridge-demo-", ignore_cleanup_errors=True
    ) as folder:
        try:
            play(Path(folder), given.kill)
        except (Failed, RequestFailed, TimeoutError, AssertionError) as error:
            line(f"\nmake demo failed: {error}")
            for log in ("relay.log", "worker.log"):
                path = Path(folder) / log
                if path.exists():
                    tail = "\n".join(
                        f"    {text}"
                        for text in path.read_text(errors="replace").splitlines()[-10:]
                    )
                    line(f"the end of {log}:\n{tail}")
            code = 1
        except KeyboardInterrupt:
            line("\ninterrupted")
            code = 130
        finally:
            # A second Ctrl-C must not cut the cleaning up short.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            say("\nStopping everything ")
            stop_all()
            line("done")
    if code == 0:
        line(f"The demo took {time.monotonic() - began:.0f} s. `make run` keeps it all running.")
    return code


if __name__ == "__main__":
    sys.exit(main())
