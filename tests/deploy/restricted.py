"""Kubernetes' pod security standard *restricted*, and what we ask of a pod beyond it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


def violations(pod: dict[str, Any]) -> list[str]:
    """Every rule of the standard that the pod's specification breaks.

    https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
    """
    return [*_of_pod(pod), *(text for container in containers(pod) for text in _of_container(pod, container))]


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    """All containers, those that come before the others too."""
    return [*pod["containers"], *pod.get("initContainers", []), *pod.get("ephemeralContainers", [])]


def _of_pod(pod: dict[str, Any]) -> Iterator[str]:
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(name):
            yield name
    for volume in pod.get("volumes", []):
        for kind in set(volume) - {"name"} - VOLUMES:
            yield f"volume {volume['name']} is a {kind}"
    context = pod.get("securityContext", {})
    for name in ("sysctls", "windowsOptions", "seLinuxOptions"):
        if context.get(name):
            yield name
    if context.get("runAsUser") == 0:
        yield "runAsUser 0"


def _of_container(pod: dict[str, Any], container: dict[str, Any]) -> Iterator[str]:
    name = container["name"]
    shared, own = pod.get("securityContext", {}), container.get("securityContext", {})
    if own.get("privileged"):
        yield f"{name}: privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield f"{name}: allowPrivilegeEscalation"
    if not own.get("runAsNonRoot", shared.get("runAsNonRoot")):
        yield f"{name}: not runAsNonRoot"
    if own.get("runAsUser") == 0:
        yield f"{name}: runAsUser 0"
    if own.get("seccompProfile", shared.get("seccompProfile", {})).get("type") not in ("RuntimeDefault", "Localhost"):
        yield f"{name}: no seccompProfile"
    capabilities = own.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", []):
        yield f"{name}: keeps capabilities"
    if set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield f"{name}: adds capabilities"
    if own.get("procMount", "Default") != "Default":
        yield f"{name}: procMount"
    if any(port.get("hostPort") for port in container.get("ports", [])):
        yield f"{name}: hostPort"
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(probe, {}).get("httpGet", {}).get("host"):
            yield f"{name}: {probe} names a host"


def beyond(pod: dict[str, Any]) -> Iterator[str]:
    """What *restricted* lets pass, and we don't."""
    if pod.get("automountServiceAccountToken") is not False:
        yield "the token of the service account is mounted"
    for container in containers(pod):
        name = container["name"]
        if not container.get("securityContext", {}).get("readOnlyRootFilesystem"):
            yield f"{name}: the root file system can be written"
        resources = container.get("resources", {})
        if not {"cpu", "memory"} <= set(resources.get("requests", {})) or "memory" not in resources.get("limits", {}):
            yield f"{name}: resources aren't bounded"
        if any(mount.get("subPath") for mount in container.get("volumeMounts", [])):
            yield f"{name}: a subPath never changes"
