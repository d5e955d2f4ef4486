"""What `make run` does before anything is started."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

from tools.demo import one_address, preparations, sample
from tools.servers import PATIENCE
from tools.servers.http_server import Handler, HttpServer
from tools.servers.processes import ROOT, free_port, status_of


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of a project whose .env nobody has written yet."""
    for name in ("BRIDGE_WEBHOOKS", "BRIDGE_ADMIN_WRITES", sample.SECRET_NAME):
        monkeypatch.setenv(name, "")  # so that it is as before when the test ends
        monkeypatch.delenv(name)
    return tmp_path


def test_a_folder_is_made_that_the_page_may_write_and_is_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env_file = folder / ".env"
    env_file.write_text("PORT=8000")
    preparations.prepare(folder)
    file = folder / "data" / "webhooks" / "webhooks.yaml"
    [schema] = re.findall(r"\$schema=(\S+)", file.read_text())
    assert (file.parent / schema).resolve() == ROOT / "config" / "webhooks.schema.json"
    port, *made = env_file.read_text().splitlines()
    assert port == "PORT=8000"
    assert made[:2] == ["BRIDGE_WEBHOOKS=data/webhooks", "BRIDGE_ADMIN_WRITES=on"]
    name, _, secret = made[2].partition("=")
    assert (name, len(secret)) == (sample.SECRET_NAME, 32)
    file.write_text("webhooks: []\n")
    preparations.prepare(folder)
    monkeypatch.delenv("BRIDGE_WEBHOOKS")
    preparations.prepare(folder)
    assert file.read_text() == "webhooks: []\n", "what somebody wrote stays"


def test_a_second_terminal_learns_the_addresses(tmp_path: Path) -> None:
    preparations.for_a_terminal(
        {"PORT": "8001", "CONDUCTOR_SERVER_URL": "http://localhost:9/api"}, tmp_path
    )
    shown = 'echo "$PORT $CONDUCTOR_SERVER_URL"; command -v webhook-bridge'
    said = subprocess.run(
        ["sh", "-c", f". data/run.env; {shown}"], cwd=tmp_path, capture_output=True, text=True
    )
    assert (
        said.stdout
        == f"8001 http://localhost:9/api\n{Path(sys.executable).parent / 'webhook-bridge'}\n"
    )


def test_every_process_of_the_procfile_knows_the_relays_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = "echo $PORT > {}; until [ -s {} ]; do sleep 0.05; done"
    lines = (
        f"relay: {command.format('relay', 'admin')}",
        f"admin: {command.format('admin', 'relay')}",
    )
    (tmp_path / "Procfile").write_text("\n".join(lines))
    environment = {**os.environ, "PORT": "8001", "PYTHONPATH": str(ROOT)}
    subprocess.run(
        [sys.executable, "-m", "tools.demo.procfile"],
        cwd=tmp_path,
        env=environment,
        check=True,
        timeout=PATIENCE,
    )
    assert [(tmp_path / name).read_text() for name in ("relay", "admin")] == ["8001\n", "8001\n"]


def test_one_address_has_conductors_routes_and_the_documented_ones_of_the_bridge(
    tmp_path: Path,
) -> None:
    servers: dict[str, HttpServer] = {}
    for name in ("relay", "admin", "conductor"):

        class Named(Handler):
            server_name = name

            def do_GET(self) -> None:
                self.say(200, self.server_name.encode())

        servers[name] = HttpServer(Named)
    port = free_port()
    nginx = one_address.start(
        tmp_path, port, {name: server.server_port for name, server in servers.items()}
    )
    if nginx is None:
        pytest.skip("nginx is not installed")
    paths = {
        "/api/webhook/slack": "relay",
        "/api/metadata/webhook": "admin",
        "/api/metadata/webhook/slack/tags": "admin",
        "/api/token": "admin",
        "/api/workflow/1": "conductor",
        "/": "conductor",
    }

    def answer(path: str) -> str:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE) as response:
            text: str = response.read().decode()
            return text

    try:
        nginx.wait_until(lambda: status_of(f"http://127.0.0.1:{port}/") == 200, timeout=PATIENCE)
        assert {path: answer(path) for path in paths} == paths
    finally:
        nginx.stop()
        for server in servers.values():
            server.stop()


def test_definitions_of_ones_own_get_no_secret_and_no_other_place(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "own.yaml").write_text("webhooks: []\n")
    monkeypatch.setenv("BRIDGE_WEBHOOKS", "own.yaml")
    preparations.prepare(folder)
    assert not (folder / ".env").exists(), "a file can't be written by the page"
    monkeypatch.setenv("BRIDGE_WEBHOOKS", str(folder))
    preparations.prepare(folder)
    assert (folder / ".env").read_text() == "BRIDGE_ADMIN_WRITES=on\n"
    assert not (folder / "data").exists()
