"""What the Helm chart renders, started as processes, plays the Slack example on a real Conductor server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from testkit import sample, signing
from testkit.client import Answer, Conductor, http, outputs, wait_for, wait_for_webhook
from testkit.processes import free_port
from tests.acceptance.bridge import SLACK_SECRET, accepted, unique
from tests.deploy.chart import NAME, pods, with_values
from tests.deploy.kubelet import Cluster, Pod

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
        """Starts a pod of that component; it is ready then."""
        objects = self.render(*settings)
        name = f"{component}-{replica}"
        self.pods[name] = Pod(Cluster(objects, self.secrets, self.folder), name, pods(objects)[component])
        return self.pods[name].start()

    def stop(self) -> None:
        """Ends every pod that runs."""
        for pod in self.pods.values():
            pod.kill()


def url_of(pod: Pod) -> str:
    """The relay of a pod."""
    return f"http://127.0.0.1:{pod.containers['relay'].port('http')}"


def post(pod: Pod, body: bytes) -> Answer:
    """Posts a request to a pod's relay as Slack does, signed."""
    return http("POST", f"{url_of(pod)}/webhook/slack", body, signing.slack(SLACK_SECRET, body))


def play(conductor: Conductor, relays: list[Pod]) -> None:
    """The README's example: a challenge verifies, a message resumes the workflow that waits. Any relay takes either."""
    sample.register(conductor)
    answer = post(relays[0], sample.challenge("3eZbrw1aBm2rZgRNFdxV"))
    assert (answer.status, answer.json) == (200, {"challenge": "3eZbrw1aBm2rZgRNFdxV"})
    workflow_id = conductor.start(sample.WORKFLOW)
    conductor.wait_for_task(workflow_id, sample.TASK)
    body = sample.message("Hello from Kubernetes")
    accepted(post(relays[-1], body))
    [output] = outputs(conductor.wait_for_status(workflow_id), sample.TASK)
    assert output["event"] == json.loads(body)["event"]


@pytest.fixture
def sqlite(conductor_url: str, tmp_path: Path) -> Iterator[Release]:
    release = Release("sqlite", conductor_url, tmp_path, SECRETS)
    yield release
    release.stop()


def test_one_pod_with_sqlite_plays_the_slack_example(sqlite: Release, conductor: Conductor) -> None:
    pod = sqlite.start("bridge")
    play(conductor, [pod])
    # What `helm test` runs, against this relay.
    objects = sqlite.render()
    spec = pods(objects)["test"]
    [send] = spec["containers"]
    send["args"] = [url_of(pod) if part.startswith("http://") else part for part in send["args"]]
    tested = Pod(Cluster(objects, SECRETS, sqlite.folder), "test", spec).containers["send"].run()
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert "helm-test" in tested.stdout
    # A pod that goes and another that comes find the same events, on the same volume.
    pod.stop()
    again = sqlite.start("bridge", 1)
    play(conductor, [again])


def test_a_change_of_the_config_map_is_read_by_pods_that_run(sqlite: Release, conductor: Conductor) -> None:
    pod = sqlite.start("bridge")
    body = sample.message("Hello")
    assert http("POST", f"{url_of(pod)}/webhook/second", body, {}).status == 404
    name = unique("kubernetes_second")
    definitions = f"webhooks:\n  - {{name: second, headers: {{X-Key: 0123456789abcdef}}, receivers: {{{name}: any}}}}\n"
    pod.cluster.config_maps[f"{NAME}-webhooks"] = {"webhooks.yaml": definitions}
    pod.mount()
    wait_for(lambda: http("POST", f"{url_of(pod)}/webhook/second", body, {}).status == 401, "the relay reads it")
    conductor.register(name, [wait_for_webhook("wait")])
    workflow_id = conductor.start(name)
    conductor.wait_for_task(workflow_id, "wait")
    headers = {"X-Key": "0123456789abcdef", "Content-Type": "application/json"}
    accepted(http("POST", f"{url_of(pod)}/webhook/second", body, headers))
    conductor.wait_for_status(workflow_id)
