"""The chart, installed on this machine: its pods as processes, on ports of their own."""

from __future__ import annotations

import copy
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from testkit import signing
from testkit.client import Answer, http
from testkit.processes import free_port
from tests.deploy.chart import pods, with_values
from tests.deploy.kubelet import Cluster, Pod

SLACK_SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
SECRETS = {
    "webhook-secrets": {"SLACK_SIGNING_SECRET": SLACK_SECRET},
    "bridge-admin": {"BRIDGE_ADMIN_TOKEN": "token-of-the-page"},
}
PORTS = ("relay.port", "relay.metricsPort", "worker.metricsPort", "admin.port")


@dataclass
class Release:
    """An installed chart: its pods run as processes, on ports of their own."""

    values: str
    conductor_url: str
    folder: Path
    secrets: dict[str, dict[str, str]]
    pods: dict[str, Pod] = field(default_factory=dict)

    def render(self, *settings: str) -> list[dict[str, Any]]:
        """The objects, with free ports."""
        ports = [f"{port}={free_port()}" for port in PORTS]
        quick = ("settings.BRIDGE_POLL_INTERVAL=250ms", "relay.preStopSeconds=1")
        return with_values(self.values, f"conductor.url={self.conductor_url}", *quick, *ports, *settings)

    def start(self, component: str, replica: int = 0, *settings: str) -> Pod:
        """Starts a pod of that component."""
        objects = self.render(*settings)
        name = f"{component}-{replica}"
        self.pods[name] = Pod(Cluster(objects, self.secrets, self.folder), name, pods(objects)[component])
        return self.pods[name].start()

    def send(self, relay: Pod) -> subprocess.CompletedProcess[str]:
        """Runs the pod of `helm test` to its end, against that relay."""
        objects = self.render()
        spec = copy.deepcopy(pods(objects)["test"])
        [container] = spec["containers"]
        # A Service's name is none here.
        container["args"] = [url_of(relay) if part.startswith("http://") else part for part in container["args"]]
        return Pod(Cluster(objects, self.secrets, self.folder), "test", spec).containers["send"].run()

    def __enter__(self) -> Release:
        return self

    def __exit__(self, *error: object) -> None:
        """Ends every pod that runs."""
        for pod in self.pods.values():
            pod.kill()


def url_of(pod: Pod) -> str:
    """The relay of a pod."""
    return f"http://127.0.0.1:{pod.containers['relay'].port('http')}"


def post(pod: Pod, body: bytes) -> Answer:
    """Posts a request to a pod's relay as Slack does, signed."""
    return http("POST", f"{url_of(pod)}/webhook/slack", body, signing.slack(SLACK_SECRET, body))
