"""The Helm chart, as Helm renders it."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm"
VALUES = sorted((CHART / "ci").glob("*-values.yaml"))
CACHE = (
    Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "conductor-webhook-bridge"
)
"""What takes minutes to build, and is kept between runs: see `.ci/run`."""
RELEASE = "bridge"
NAME = "bridge-webhook-bridge"
"""What the release's objects are called, or begin with."""


class Refused(Exception):
    """Helm's words on why it doesn't render the chart."""


def helm_path() -> str | None:
    """Helm: the one that `.ci/run` has built, else that of the PATH."""
    own = CACHE / "bin" / "helm"
    return str(own) if own.exists() else shutil.which("helm")


def run_helm(*arguments: str) -> str:
    """What Helm prints. Skips the test without Helm; raises Refused."""
    helm = helm_path()
    if helm is None:
        pytest.skip("helm is not installed, which .ci/run builds where Go is")
    answer = subprocess.run([helm, *arguments], capture_output=True, text=True, check=False)
    if answer.returncode:
        raise Refused(answer.stdout + answer.stderr)
    return answer.stdout


@functools.cache
def render(*arguments: str) -> list[dict[str, Any]]:
    """The objects that ``helm template`` makes with these further arguments. Raises Refused."""
    text = run_helm("template", RELEASE, str(CHART), "--namespace", "hooks", *arguments)
    return [found for found in YAML(typ="safe").load_all(text) if found is not None]


def with_values(file: Path | str, *settings: str) -> list[dict[str, Any]]:
    """The objects with a file of values (of the chart's ``ci/``, by its first word) and ``a.b=c``
    beside it."""
    path = file if isinstance(file, Path) else CHART / "ci" / f"{file}-values.yaml"
    return render(
        "--values", str(path), *(part for setting in settings for part in ("--set", setting))
    )


def of_kind(objects: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    """The objects of that kind by their names, without the release's: ``relay``, or an empty text."""
    return {
        found["metadata"]["name"].removeprefix(NAME).lstrip("-"): found
        for found in objects
        if found["kind"] == kind
    }


def pods(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The specifications of all pods, by their component."""
    found = {}
    for each in objects:
        template = each if each["kind"] == "Pod" else each.get("spec", {}).get("template")
        if template:
            found[template["metadata"]["labels"]["app.kubernetes.io/component"]] = template["spec"]
    return found


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    """All containers of a pod's specification, those that come before the others too."""
    return [*pod["containers"], *pod.get("initContainers", [])]
