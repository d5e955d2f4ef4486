"""An operator at a terminal: what they type for the chart, `kubectl` and `helm`, and what both
answer."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from tests.support.chart import CHART, NAME, RELEASE, helm_path
from tools.servers.client import wait_for

IMAGE = "TEST_CLUSTER_IMAGE"
"""The image that the cluster's nodes have, or can pull: `REPOSITORY:TAG`. It is what turns these
tests on."""
ENTRY = "entry"
"""The Service by which deliveries come in: a port of each node, as a load balancer would use."""


class Refused(Exception):
    """What a command said as it failed."""


def run(*command: str, given: str | None = None, timeout: float = 600) -> str:
    """What the command prints. Raises Refused with everything that it said, if it fails."""
    answer = subprocess.run(
        command, input=given, capture_output=True, text=True, timeout=timeout, check=False
    )
    if answer.returncode:
        raise Refused(f"{' '.join(command[:4])} …: {answer.stdout}{answer.stderr}")
    return answer.stdout


def nodes() -> dict[str, str]:
    """The nodes that take pods: their addresses by their names."""
    found = json.loads(run("kubectl", "get", "nodes", "-o", "json"))["items"]
    return {
        node["metadata"]["name"]: next(
            entry["address"]
            for entry in node["status"]["addresses"]
            if entry["type"] == "InternalIP"
        )
        for node in found
        if not node["spec"].get("taints")
    }


def first_address() -> str:
    """The address of a node."""
    return next(iter(nodes().values()))


class Operator:
    """Works in a namespace of its own, with one release of the chart there."""

    def __init__(self, namespace: str, folder: Path, values: Mapping[str, Any]) -> None:
        """Makes the namespace, which admits restricted pods only. `values` are those of the
        release."""
        self.namespace = namespace
        self.values: dict[str, Any] = {"image": image_values(os.environ[IMAGE]), **values}
        self._file = folder / f"{namespace}.json"
        run("kubectl", "create", "namespace", namespace)
        run(
            "kubectl",
            "label",
            "namespace",
            namespace,
            "pod-security.kubernetes.io/enforce=restricted",
        )

    # --- the command lines

    def kubectl(self, *arguments: str, given: str | None = None, timeout: float = 600) -> str:
        """Runs kubectl in the namespace."""
        return run("kubectl", "-n", self.namespace, *arguments, given=given, timeout=timeout)

    def helm(self, verb: str, *arguments: str) -> str:
        """Runs helm on the release."""
        helm = helm_path()
        assert helm is not None
        return run(helm, verb, RELEASE, *arguments, "--namespace", self.namespace)

    # --- the release

    def install(self, chart: Path = CHART, *options: str) -> str:
        """Installs or upgrades the release with the values as they are now, and waits until all of
        it is ready."""
        self._file.write_text(json.dumps(self.values), encoding="utf-8")
        return self.helm(
            "upgrade", str(chart), "--install", "--wait", "--values", str(self._file), *options
        )

    def uninstall(self) -> None:
        """Uninstalls the release, and waits until its pods are gone."""
        self.helm("uninstall", "--wait")
        wait_for(lambda: not self.pods(), "its pods are gone")

    def rolled_out(self) -> None:
        """Returns once every Deployment has only pods of its newest template, all of them ready,
        and the others are gone."""
        for name in self.names("deployment"):
            self.kubectl("rollout", "status", f"deployment/{name}", "--timeout=5m")
        wait_for(
            lambda: all("deletionTimestamp" not in pod["metadata"] for pod in self.objects("pod")),
            "the pods that were replaced are gone",
        )

    # --- what is there

    def objects(self, kind: str, *selector: str) -> list[dict[str, Any]]:
        """The release's objects of that kind."""
        labels = ",".join((f"app.kubernetes.io/instance={RELEASE}", *selector))
        return list(json.loads(self.kubectl("get", kind, "-l", labels, "-o", "json"))["items"])

    def names(self, kind: str, *selector: str) -> list[str]:
        """The names of the release's objects of that kind."""
        return [str(found["metadata"]["name"]) for found in self.objects(kind, *selector)]

    def pods(self, *components: str) -> list[str]:
        """The names of the components' pods, or of all; those that are being ended are among them."""
        wanted = (f"app.kubernetes.io/component in ({','.join(components)})",) if components else ()
        return self.names("pod", *wanted)

    def replicas(self, component: str) -> int:
        """How many pods of that component are ready."""
        [found] = [
            each
            for each in self.objects("deployment")
            if each["metadata"]["name"] == f"{NAME}-{component}"
        ]
        return int(found["status"].get("readyReplicas", 0))

    # --- what operators make themselves

    def secret(self, name: str, **data: str) -> None:
        """Makes a Secret, or replaces what it holds."""
        self.apply("v1", "Secret", name, stringData=data)

    def apply(self, version: str, kind: str, name: str, **content: Any) -> None:
        """Makes an object, or changes it."""
        body = {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **content}
        self.kubectl("apply", "-f", "-", given=json.dumps(body))

    def open_entry(self, component: str) -> str:
        """Publishes the component's relay at a port of each node; the URL at the first one."""
        selector = {"app.kubernetes.io/instance": RELEASE, "app.kubernetes.io/component": component}
        ports = [{"port": 8000, "targetPort": "http"}]
        self.apply(
            "v1", "Service", ENTRY, spec={"type": "NodePort", "selector": selector, "ports": ports}
        )
        service = json.loads(self.kubectl("get", "service", ENTRY, "-o", "json"))
        return f"http://{first_address()}:{service['spec']['ports'][0]['nodePort']}"

    @property
    def database(self) -> SplitResult:
        """PostgreSQL's URL, as the Secret has it."""
        data = json.loads(self.kubectl("get", "secret", "database", "-o", "json"))["data"]
        return urlsplit(base64.b64decode(data["url"]).decode())

    def in_admin(self, *command: str) -> str:
        """What a command prints in the container of the admin process."""
        [pod] = self.pods("admin", "bridge")
        return self.kubectl("exec", pod, "-c", "admin", "--", *command)

    def events(self) -> set[str]:
        """The ids of the events that the bridge has."""
        found = json.loads(self.in_admin("webhook-bridge", "events", "--json", "--limit", "100000"))
        return {str(event["eventId"]) for event in found}

    def make_stranger(self) -> None:
        """Makes a pod `stranger` that isn't the release's, and returns once it runs."""
        container = {
            "name": "stranger",
            "image": os.environ[IMAGE],
            "command": ["sleep", "infinity"],
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            },
        }
        security = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        spec = {
            "containers": [container],
            "securityContext": security,
            "terminationGracePeriodSeconds": 1,
        }
        self.apply("v1", "Pod", "stranger", spec=spec)
        self.kubectl("wait", "--for=condition=Ready", "pod/stranger", "--timeout=2m")

    def reaches(self, pod: str, host: str | None, port: int | None) -> bool:
        """Whether a pod, or one of `deployment/NAME`, can connect to that address."""
        program = f"import socket; socket.create_connection(({host!r}, {port}), 3)"
        try:
            self.kubectl("exec", pod, "--", "python", "-c", program)
        except Refused as error:
            assert "TimeoutError" in str(error) or "ConnectionRefusedError" in str(error), str(
                error
            )
            return False
        return True

    def remove(self) -> None:
        """Removes the namespace with everything in it."""
        run("kubectl", "delete", "namespace", self.namespace, "--wait=false")


def image_values(reference: str) -> dict[str, str]:
    """The chart's values for `REPOSITORY:TAG`."""
    repository, _, tag = reference.rpartition(":")
    return {"repository": repository, "tag": tag}
