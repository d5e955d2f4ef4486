"""Starts the pods of rendered objects as processes of this machine, as a node would.

A container becomes its command with its environment; what it mounts is in folders of the pod, and the paths under
which it knows them are replaced in its command, environment and files. Services have no names here: addresses are given
in the values. All pods share one network, so each replica needs ports of its own.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from testkit import PATIENCE
from testkit.processes import Child, Failed, bridge_environment, status_of
from tests.deploy.volumes import write_volume

Values = Mapping[str, str]
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


class Cluster:
    """What pods refer to: the rendered objects, the Secrets that a user has made, and volumes that last."""

    def __init__(self, objects: list[dict[str, Any]], secrets: Mapping[str, Values], folder: Path) -> None:
        self.folder = folder
        self.secrets = secrets
        self.config_maps: dict[str, Values] = {
            found["metadata"]["name"]: found["data"] for found in objects if found["kind"] == "ConfigMap"
        }

    def claim(self, name: str) -> Path:
        """The folder of a persistent volume."""
        path = self.folder / "claims" / name
        path.mkdir(parents=True, exist_ok=True)
        return path


class Container:
    """A container of a pod: a process once it is started."""

    def __init__(self, pod: Pod, spec: dict[str, Any]) -> None:
        self.name: str = spec["name"]
        self._pod = pod
        self._spec = spec
        self.paths = {mount["mountPath"]: pod.volumes[mount["name"]] for mount in spec["volumeMounts"]}
        self.environment = self._environment()
        self.process: Child | None = None

    def here(self, text: str) -> str:
        """The text with the mounts' paths as they are on this machine."""
        if not self.paths:
            return text
        known = "|".join(re.escape(path) for path in sorted(self.paths, key=len, reverse=True))
        return re.sub(rf"({known})(?=/|}}|$)", lambda found: str(self.paths[found[1]]), text)

    def _environment(self) -> dict[str, str]:
        secrets = self._pod.cluster.secrets
        named: dict[str, str] = {}
        for source in self._spec.get("envFrom", []):
            named |= secrets[source["secretRef"]["name"]]
        for variable in self._spec.get("env", []):
            if "valueFrom" in variable:
                key = variable["valueFrom"]["secretKeyRef"]
                named[variable["name"]] = secrets[key["name"]][key["key"]]
            else:
                named[variable["name"]] = self.here(variable["value"])
        # As in the image, the programs are those of the virtual environment.
        inherited = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        if "/tmp" in self.paths:
            inherited["TMPDIR"] = str(self.paths["/tmp"])
        return bridge_environment() | inherited | named

    @property
    def command(self) -> list[str]:
        """What runs in it."""
        program, *arguments = (self.here(part) for part in (*self._spec["command"], *self._spec.get("args", [])))
        return [shutil.which(program, path=self.environment["PATH"]) or program, *arguments]

    def start(self) -> Child:
        """Starts it."""
        folder = self._pod.folder
        self.process = Child(self.name, self.command, folder / f"{self.name}.log", self.environment, folder)
        return self.process

    def is_ready(self) -> bool:
        """Whether all its probes say yes."""
        return all(self.probe(name) == 200 for name in PROBES)

    def probe(self, name: str) -> int | None:
        """The status that a probe is answered with; None without an answer."""
        http = self._spec[name]["httpGet"]
        return status_of(f"http://127.0.0.1:{self.port(http['port'])}{http['path']}")

    def port(self, name: str) -> int:
        """The number of a named port."""
        return next(int(port["containerPort"]) for port in self._spec["ports"] if port["name"] == name)

    def run(self, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Runs it to its end, as that of a pod that isn't restarted."""
        return subprocess.run(
            self.command,
            env=self.environment,
            cwd=self._pod.folder,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def stop(self, meanwhile: Callable[[], None] | None = None) -> None:
        """Ends it as a node does: first what `preStop` says, then SIGTERM, and SIGKILL when the pod's time is over.

        `meanwhile` is called once `preStop` has begun, and ended before SIGTERM.
        """
        if self.process is None:
            return
        before = self._spec.get("lifecycle", {}).get("preStop")
        if before:
            with subprocess.Popen(before["exec"]["command"], env=self.environment) as hook:
                if meanwhile is not None:
                    meanwhile()
                hook.wait(PATIENCE)
        code = self.process.stop(timeout=self._pod.seconds_to_stop)
        self.process = None
        if code != 0:
            raise Failed(f"{self.name} ended with {code} on SIGTERM")


class Pod:
    """A pod: its volumes, and its containers."""

    def __init__(self, cluster: Cluster, name: str, spec: dict[str, Any]) -> None:
        self.cluster = cluster
        self.folder = cluster.folder / name
        self.folder.mkdir(parents=True)
        self._spec = spec
        self.seconds_to_stop: float = spec["terminationGracePeriodSeconds"]
        self.volumes: dict[str, Path] = {volume["name"]: self._folder_of(volume) for volume in spec["volumes"]}
        self.containers = {each["name"]: Container(self, each) for each in spec["containers"]}
        self.mount()

    def _folder_of(self, volume: dict[str, Any]) -> Path:
        if "persistentVolumeClaim" in volume:
            return self.cluster.claim(volume["persistentVolumeClaim"]["claimName"])
        path = self.folder / "volumes" / str(volume["name"])
        path.mkdir(parents=True)
        return path

    def mount(self) -> None:
        """Writes ConfigMaps and Secrets into their volumes as they are now, also while the pod runs."""
        for volume in self._spec["volumes"]:
            path = self.volumes[volume["name"]]
            if "configMap" in volume:
                files = self.cluster.config_maps[volume["configMap"]["name"]]
            elif "secret" in volume:
                source = self.cluster.secrets[volume["secret"]["secretName"]]
                items = volume["secret"].get("items") or [{"key": key, "path": key} for key in source]
                files = {item["path"]: source[item["key"]] for item in items}
            else:
                continue
            one = next(iter(self.containers.values()))
            write_volume(path, {name: one.here(text) for name, text in files.items()})

    def start(self) -> Pod:
        """Starts its containers, all at once as a node does."""
        for container in self.containers.values():
            container.start()
        return self

    def wait_until_ready(self) -> Pod:
        """Returns once every container is ready. Raises Failed if one ends, or isn't ready within a minute."""
        for container in self.containers.values():
            assert container.process is not None
            container.process.wait_until(container.is_ready, timeout=PATIENCE)
        return self

    def stop(self, meanwhile: Callable[[], None] | None = None) -> None:
        """Ends its containers; see `Container.stop`."""
        for container in self.containers.values():
            container.stop(meanwhile)

    def kill(self) -> None:
        """Ends what still runs of it at once."""
        for container in self.containers.values():
            if container.process is not None:
                container.process.kill()
                container.process = None
