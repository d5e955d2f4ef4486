"""Compose takes compose.yaml. `test_image` runs its services in the image."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from admin.cli.processes import PROCESSES
from config.settings import Settings
from tests.deploy.image import Builder
from tests.support.chart import CACHE, ROOT
from tests.support.document import Step
from tests.support.pages import BESIDE_DOCKER
from tools.servers import PATIENCE
from tools.servers.client import http, wait_for
from tools.servers.conductor import ConductorServer
from tools.servers.postgres import Postgres
from tools.servers.processes import Child, free_port, status_of

FILE = ROOT / "compose.yaml"
COMPOSE: dict[str, Any] = YAML(typ="safe", pure=True).load(FILE.read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
BIN = Path(sys.executable).parent
OURS = ("prepare", *PROCESSES)
IN_RELAY = "docker compose exec relay "
CONDUCTOR = "http://localhost:8080"


def as_compose_reads(*files: Path) -> dict[str, Any]:
    """The services of these files together, by Compose's own library, where no variable is set."""
    tool = CACHE / "bin" / "compose-go"
    if not tool.exists():
        pytest.skip("compose-go is not installed, which .ci/run builds where Go is")
    environment = {"PATH": os.defpath, "HOME": "/nonexistent"}
    command = [str(tool), "-format", "json", *map(str, files)]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert "variable is not set" not in answer.stderr
    services: dict[str, Any] = json.loads(answer.stdout)["services"]
    return services


def test_composes_own_library_takes_the_file_without_any_variable() -> None:
    services = as_compose_reads(FILE)
    assert set(services) == {*OURS, "postgres", "conductor"}
    for name in OURS:
        expected = {
            key: without_variables(value) for key, value in SERVICES[name]["environment"].items()
        }
        assert services[name]["environment"] == expected, "as the other tests read it"


def test_a_conductor_of_ones_own_takes_the_place_of_the_bundled_one(tmp_path: Path) -> None:
    """By the lines that stand beside it."""
    [lines] = re.findall(
        r"compose\.override\.yaml.*\n((?:  #   .*\n)+)", FILE.read_text(encoding="utf-8")
    )
    override = tmp_path / "compose.override.yaml"
    override.write_text(re.sub("^  #   ", "", lines, flags=re.MULTILINE), encoding="utf-8")
    services = as_compose_reads(FILE, override)
    assert {name for name, service in services.items() if "profiles" not in service} == {
        *OURS,
        "postgres",
    }
    for name in ("worker", "admin"):
        kept = f"BRIDGE_DATABASE={SERVICES[name]['environment']['BRIDGE_DATABASE']}"
        changed = "CONDUCTOR_SERVER_URL=https://conductor.example.com/api"
        assert {kept, changed} <= set(services[name]["environment"])  # of merged files it is a list


def test_each_process_runs_its_command_with_settings_that_exist() -> None:
    known = {setting.upper() for setting in Settings.model_fields} | {"PGPASSWORD", "ADMIN_HOST"}
    for name in PROCESSES:
        assert SERVICES[name]["command"] == ["webhook-bridge", name]
        assert set(SERVICES[name]["environment"]) <= known
        assert SERVICES[name]["depends_on"] == {
            "prepare": {"condition": "service_completed_successfully"}
        }
    assert SERVICES["prepare"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}


def test_each_process_has_the_secrets_that_it_needs_and_no_other() -> None:
    key = {"CONDUCTOR_AUTH_KEY", "CONDUCTOR_AUTH_SECRET"}
    secret = key | {"BRIDGE_ADMIN_TOKEN", "BRIDGE_VIEWER_TOKEN", "BRIDGE_NOTIFY"}
    has = {name: secret & set(SERVICES[name]["environment"]) for name in PROCESSES}
    assert has == {"relay": set(), "worker": key | {"BRIDGE_NOTIFY"}, "admin": key}
    assert {name for name, service in SERVICES.items() if "admin:/data" in service["volumes"]} == {
        "prepare",
        "admin",
    }
    writable = {
        name for name in OURS if "definitions:/etc/webhook-bridge" in SERVICES[name]["volumes"]
    }
    assert writable == {"prepare", "admin"}


def test_only_this_machine_reaches_it_and_the_store_is_the_bridges_own() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []
    assert {
        name for name, service in SERVICES.items() if "store" in service.get("networks", ())
    } == {*OURS, "postgres"}
    assert COMPOSE["networks"]["store"] == {"internal": True}
    database = SERVICES["postgres"]
    assert "ports" not in database
    assert database["networks"] == ["store"]
    of_database = {
        name: database["environment"][f"POSTGRES_{name}"] for name in ("USER", "DB", "PASSWORD")
    }
    for name in OURS:
        environment = SERVICES[name]["environment"]
        assert environment["BRIDGE_DATABASE"] == "postgresql://{USER}@postgres:5432/{DB}".format(
            **of_database
        )
        assert environment["PGPASSWORD"] == of_database["PASSWORD"]


def test_the_image_has_the_folders_of_its_volumes_as_its_user_may_write_them() -> None:
    """A new volume gets owner and mode from the image."""
    mounts = {volume.split(":")[1] for name in OURS for volume in SERVICES[name]["volumes"]}
    text = (ROOT / "deploy" / "Containerfile").read_text(encoding="utf-8")
    [folders] = re.findall(r"install -d -o 10001 -g 10001 -m 0750 (.*)$", text, re.MULTILINE)
    assert set(folders.split()) == mounts
    assert set(COMPOSE["volumes"]) == {
        volume.split(":")[0] for service in SERVICES.values() for volume in service["volumes"]
    }


def without_variables(value: str) -> str:
    """A value as Compose reads it where no variable is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


class Machine:
    """What compose.yaml starts, with its commands and settings, in containers of the built image on
    free ports of this machine."""

    def __init__(self, folder: Path, postgres: Postgres, builder: Builder) -> None:
        self._folder = folder
        self._builder = builder
        self._children: list[Child] = []
        options = shlex.split(without_variables(SERVICES["conductor"]["environment"]["JAVA_OPTS"]))
        (folder / "conductor").mkdir()

        class Composed(ConductorServer):
            java_options = [option.replace("/data/", f"{folder}/conductor/") for option in options]  # noqa: RUF012

        self.conductor = Composed(folder / "conductor", say=lambda text: None)
        self.ports = {"relay": free_port(), "admin": free_port()}
        self._places = {
            SERVICES["relay"]["environment"]["BRIDGE_DATABASE"]: postgres.new_database("compose"),
            "http://conductor:8080": self.conductor.ui_url,
            "http://relay:8000": self.url("relay"),
            "http://localhost:8000": self.url("relay"),
        }

    def url(self, service: str) -> str:
        """Where the service listens."""
        return f"http://127.0.0.1:{self.ports[service]}"

    def settings(self, service: str) -> dict[str, str]:
        """What the file sets, with this machine's addresses."""
        values = dict(SERVICES[service]["environment"])
        for name, value in values.items():
            values[name] = without_variables(value)
            for place, here in self._places.items():
                values[name] = values[name].replace(place, here)
        values |= {"BRIDGE_RELAY_METRICS": "off", "BRIDGE_WORKER_METRICS": "off"}
        return values | {"PORT": str(self.ports["relay"]), "ADMIN_PORT": str(self.ports["admin"])}

    def volume(self, name: str) -> Path:
        """A volume's folder. As a new one in a container, it belongs to the image's user."""
        folder = self._folder / name
        if not folder.exists():
            folder.mkdir()
            os.chown(folder, 10001, 10001)
        return folder

    def prepared(self, service: str, command: list[str]) -> list[str]:
        """How to run a command as the service."""
        volumes = {"/data": service} | {
            target: name
            for name, target in (volume.split(":")[:2] for volume in SERVICES[service]["volumes"])
        }
        options = [
            part
            for name, value in self.settings(service).items()
            for part in ("--env", f"{name}={value}")
        ]
        options += [
            part
            for target, name in volumes.items()
            for part in ("--volume", f"{self.volume(name)}:{target}")
        ]
        container = self._builder.buildah("from", "--pull-never", "webhook-bridge")
        return self._builder.command(container, *command, options=options)

    def run(self, service: str, command: list[str] | None = None) -> str:
        """What the service's command prints, or another one in its place."""
        return printed(self.prepared(service, command or SERVICES[service]["command"]))

    def start(self, service: str) -> None:
        """Starts the service; returns once it is ready."""
        line = self.prepared(service, SERVICES[service]["command"])
        child = Child(service, line, self._folder / f"{service}.log")
        self._children.append(child)
        if service in self.ports:
            child.wait_until(lambda: status_of(f"{self.url(service)}/readyz") == 200)

    def stop(self) -> None:
        """Stops what was started."""
        for child in self._children:
            child.stop()
        self.conductor.stop()


def printed(line: list[str]) -> str:
    """What a command prints. Fails if that is an error."""
    answer = subprocess.run(
        line,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def completes_a_task(machine: Machine) -> None:
    """Starts everything, and does what the quick start says of a second terminal."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed, which the page's commands use")
    said = machine.run("prepare")
    token = re.search(r"^BRIDGE_ADMIN_TOKEN=(\w{48})$", said, re.MULTILINE)
    assert token is not None
    assert "Secret: " in said
    assert machine.run("prepare") == f"{token[0]}\n", "the next start only shows the token"
    for service in PROCESSES:
        machine.start(service)
    webhooks = f"{machine.url('admin')}/api/webhooks"
    assert http("GET", webhooks).status == 401
    assert http("GET", webhooks, headers={"Authorization": f"Bearer {token[1]}"}).status == 200
    machine.conductor.start()
    assert len(BESIDE_DOCKER) > 3
    for step in BESIDE_DOCKER:

        def shown(step: Step = step) -> bool:
            if step.command.startswith(IN_RELAY):
                return step.is_shown(
                    machine.run("relay", shlex.split(step.command.removeprefix(IN_RELAY)))
                )
            return step.is_shown(
                printed(["bash", "-c", step.command.replace(CONDUCTOR, machine.conductor.ui_url)])
            )

        if step.command.endswith("events"):  # as soon as it took effect
            wait_for(shown, step.command)
        else:
            assert shown(), step.command
    assert (machine.volume("conductor") / "conductor.db").exists(), "what is in the volume stays"
