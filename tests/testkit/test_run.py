"""What `make run` does before anything is started."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.request import urlopen

import pytest

from demo import one_address, run
from testkit import PATIENCE, sample
from testkit.processes import free_port, status_of


def test_a_signing_secret_is_made_up_once_for_the_shipped_webhook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("PORT=8000")
    monkeypatch.setattr(run, "ENV_FILE", env_file)
    monkeypatch.delenv("BRIDGE_WEBHOOKS", raising=False)
    monkeypatch.setenv(sample.SECRET_NAME, "x")
    run.make_up_secret()
    assert env_file.read_text() == "PORT=8000", "there is one"
    monkeypatch.delenv(sample.SECRET_NAME)
    run.make_up_secret()
    kept, made = env_file.read_text().splitlines()
    assert kept == "PORT=8000"
    name, _, secret = made.partition("=")
    assert (name, len(secret)) == (sample.SECRET_NAME, 32)
    run.make_up_secret()
    assert len(env_file.read_text().splitlines()) == 2


def test_one_address_has_conductors_routes_and_the_documented_ones_of_the_bridge(tmp_path: Path) -> None:
    servers: dict[str, HTTPServer] = {}
    for name in ("relay", "admin", "conductor"):

        class Handler(BaseHTTPRequestHandler):
            server_name = name

            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(self.server_name.encode())

            def log_message(self, *_: object) -> None:
                pass

        servers[name] = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=servers[name].serve_forever, daemon=True).start()
    port = free_port()
    nginx = one_address.start(tmp_path, port, {name: server.server_port for name, server in servers.items()})
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
            server.shutdown()
            server.server_close()


def test_definitions_of_ones_own_get_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "ENV_FILE", tmp_path / ".env")
    monkeypatch.delenv(sample.SECRET_NAME, raising=False)
    (tmp_path / "own.yaml").write_text("webhooks: []\n")
    for definitions in (tmp_path / "own.yaml", tmp_path):
        monkeypatch.setenv("BRIDGE_WEBHOOKS", str(definitions))
        run.make_up_secret()
    assert not (tmp_path / ".env").exists()
