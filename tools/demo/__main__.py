"""`make demo`: a signed Slack event completes a waiting workflow on a real server; nothing stays
running."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tools.demo import sample, signing
from tools.servers.client import Answer, Conductor, RequestFailed, http, wait_for
from tools.servers.conductor import ConductorServer, say
from tools.servers.processes import (
    Failed,
    bridge_environment,
    check_port,
    free_port,
    start_relay,
    start_worker,
    stop_all,
    stop_all_on_exit,
)


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

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.secret = secrets.token_hex(16)
        port = int(os.environ.get("PORT") or free_port())
        check_port(port, "PORT", "the relay")
        step("A Conductor server")
        self.conductor = find_conductor(folder)
        definitions = folder / "webhooks.yaml"
        definitions.write_text(sample.DEFINITIONS)
        self.environment = bridge_environment(
            bridge_webhooks=str(definitions),
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
        if os.environ.get(
            "BRIDGE_DATABASE"
        ):  # another bridge may be using that, and the demo leaves nothing behind
            line("their store is a separate file, not BRIDGE_DATABASE (which `make run` uses)")
        start_relay(self.environment, self.folder / "relay.log", self.folder)
        start_worker(self.environment, self.folder / "worker.log", self.folder)
        line(f"the relay listens at {self.url}")

    def webhook_status(self) -> str:
        """Unverified or Verified, as the command line tells it."""
        command = [str(Path(sys.executable).parent / "webhook-bridge"), "webhooks", "--json"]
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
                f"`webhook-bridge webhooks --json` ended with {answer.returncode}: {answer.stderr.strip()}"
            )
        [webhook] = json.loads(answer.stdout)
        return str(webhook["status"])

    def post(self, body: bytes, secret: str) -> Answer:
        """Posts a request as Slack does, signed with that secret."""
        return http("POST", self.url, body, signing.slack(secret, body))


def expect(condition: bool, what: str, answer: Any = "") -> None:
    """Raises Failed unless the expected step has happened."""
    if not condition:
        raise Failed(f"{what}: {answer}")


def play(folder: Path) -> None:
    """Plays the example and prints each step. Raises Failed at the first that doesn't go as
    expected."""
    bridge = Play(folder)
    bridge.start()

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
    answer = bridge.post(body, bridge.secret)
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


def main() -> int:
    """Plays the example and cleans up; 0, or 1 with the reason."""
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    stop_all_on_exit()
    began = time.monotonic()
    code = 0
    with tempfile.TemporaryDirectory(
        prefix="webhook-bridge-demo-", ignore_cleanup_errors=True
    ) as folder:
        try:
            play(Path(folder))
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
