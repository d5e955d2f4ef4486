"""The image is built where buildah is installed, twice the same, and its three commands run in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.deploy.image import CONTAINERFILE, EPOCH, ROOT, Builder
from tests.deploy.test_compose import Machine, completes_a_task
from tools.servers import PATIENCE
from tools.servers.postgres import Postgres
from tools.servers.processes import Child, free_port, status_of

SETTINGS = {
    "BRIDGE_ADMIN_TOKEN": "token-of-the-page",
    "BRIDGE_WEBHOOKS": "/etc/webhook-bridge",
    "SLACK_SIGNING_SECRET": "8f742231b10e8888abcd99yyyzzz85a5",
    # Nobody answers there: the worker waits for Conductor.
    "CONDUCTOR_SERVER_URL": "http://127.0.0.1:1/api",
}
DEFINITIONS = "webhooks:\n  - {name: slack, platform: slack, secret: '${SLACK_SIGNING_SECRET}', receivers: {a: any}}\n"
LABELLED = ("--build-arg", "REVISION=abc123")


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    """With the image built twice side by side, as `webhook-bridge` and as `again`."""
    builder = Builder(tmp_path_factory.mktemp("image"))
    try:
        builder.make_base()
        with ThreadPoolExecutor() as pool:
            for build in [
                pool.submit(builder.build, name, *LABELLED) for name in ("webhook-bridge", "again")
            ]:
                build.result()
        yield builder
    finally:
        builder.remove()


@pytest.mark.slow(60)
@pytest.mark.long
def test_the_image_is_small_runs_as_nobody_in_particular_and_says_what_it_is(
    builder: Builder,
) -> None:
    image = json.loads(builder.buildah("inspect", "--type", "image", "webhook-bridge"))["OCIv1"]
    config = image["config"]
    assert config["User"] == "10001:10001"
    assert config["Cmd"] == ["webhook-bridge", "relay"]
    labels = {
        name.removeprefix("org.opencontainers.image."): text
        for name, text in config["Labels"].items()
    }
    assert labels["licenses"] == "Apache-2.0"
    assert labels["revision"] == "abc123"
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert labels["version"] == version[1]
    container = builder.buildah("from", "--pull-never", "webhook-bridge")
    tree = Path(builder.buildah("mount", container))
    try:
        assert not list(tree.glob("venv/lib/python3*/site-packages/pip")), (
            "what installs stays behind"
        )
        assert not (tree / "src").exists()
        assert (
            sum(path.stat().st_size for path in (tree / "venv").rglob("*") if path.is_file())
            < 160 * 2**20
        )
        assert not (tree / "etc/pip.conf").exists() or not (tree / "etc/pip.conf").read_text()
    finally:
        builder.buildah("umount", container)


@pytest.mark.long
def test_the_same_sources_give_the_same_image(builder: Builder) -> None:
    assert builder.ids["again"] == builder.ids["webhook-bridge"]


@pytest.mark.long
def test_its_three_commands_run(builder: Builder, tmp_path: Path) -> None:
    """As the image's user, on one volume, as compose and the chart's single pod do."""
    data, definitions = tmp_path / "data", tmp_path / "definitions"
    for folder in (data, definitions):
        folder.mkdir()
    data.chmod(0o777)
    (definitions / "webhooks.yaml").write_text(DEFINITIONS, encoding="utf-8")
    tmp_path.chmod(0o755)
    ports = {
        "PORT": free_port(),
        "metrics": free_port(),
        "worker": free_port(),
        "admin": free_port(),
    }
    settings = SETTINGS | {
        "PORT": str(ports["PORT"]),
        "BRIDGE_RELAY_METRICS": f"127.0.0.1:{ports['metrics']}",
        "BRIDGE_WORKER_METRICS": f"127.0.0.1:{ports['worker']}",
        "ADMIN_HOST": "0.0.0.0",
        "ADMIN_PORT": str(ports["admin"]),
    }
    commands = {
        "relay": (["webhook-bridge", "relay"], "PORT", "/readyz"),
        "worker": (["webhook-bridge", "worker"], "worker", "/readyz"),
        "admin": (["webhook-bridge", "admin"], "admin", "/readyz"),
    }
    options = [part for name, value in settings.items() for part in ("--env", f"{name}={value}")]
    options += ["--volume", f"{data}:/data", "--volume", f"{definitions}:/etc/webhook-bridge:ro"]
    container = builder.buildah("from", "--pull-never", "webhook-bridge")
    started = []
    try:
        for name, (command, port, path) in commands.items():
            child = Child(
                name,
                builder.command(container, *command, options=options),
                tmp_path / f"{name}.log",
            )
            started.append(child)
            url = f"http://127.0.0.1:{ports[port]}{path}"
            child.wait_until(lambda url=url: status_of(url) == 200, timeout=PATIENCE)  # type: ignore[misc]
        assert (data / "bridge.db").stat().st_uid == 10001
    finally:
        for child in started:
            child.stop()


@pytest.mark.slow(60)
@pytest.mark.long
def test_the_compose_files_services_run_in_it(
    builder: Builder, tmp_path: Path, postgres: Postgres
) -> None:
    machine = Machine(tmp_path, postgres, builder)
    try:
        completes_a_task(machine)
    finally:
        machine.stop()


# --- without a builder


def test_the_base_is_pinned_and_the_times_are_the_tests_own() -> None:
    text = CONTAINERFILE.read_text(encoding="utf-8")
    assert re.findall(r"^FROM (.*)$", text, re.MULTILINE) == ["${BASE} AS build", "${BASE}"]
    assert f"ARG SOURCE_DATE_EPOCH={EPOCH}" in text


def locked_versions(lock: str) -> set[tuple[str, str]]:
    """The names in a lock, without extras, and their versions: one may have several."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    found = re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;]+)", text, re.MULTILINE)
    return {(canonicalize_name(name), version) for name, version in found}


@pytest.mark.parametrize("lock", ["deploy/requirements.txt", "requirements-dev.txt"])
def test_a_lock_holds_what_the_project_asks_for(lock: str) -> None:
    """Else: `make lock`."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    locked = locked_versions(lock)
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    extras = ["dev"]
    if lock.startswith("deploy/"):
        extras = makefile.partition("IMAGE_EXTRAS := ")[2].partition("\n")[0].split()
    asked = project.partition("\ndependencies = [")[2].partition("\n]")[0]
    for extra in extras:
        asked += "\n" + project.partition(f"\n{extra} = [")[2].partition("]\n")[0]
    requirements = [Requirement(text) for text in re.findall(r'"([^"\n]+)"', asked)]
    assert len(requirements) > len(extras)
    for wanted in requirements:
        versions = [it for name, it in locked if name == canonicalize_name(wanted.name)]
        assert versions, f"{wanted.name} is not in {lock}: make lock"
        assert all(wanted.specifier.contains(version) for version in versions), (
            f"{wanted}: make lock"
        )
    assert text.count("==") <= text.count("--hash=")


def test_the_image_has_the_versions_that_were_tested() -> None:
    shipped = locked_versions("deploy/requirements.txt")
    assert shipped
    tested = locked_versions("requirements-dev.txt")
    assert shipped <= tested
