"""The admin process as the Procfile starts it."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import admin
from tests.admin.sample import Sample

ROOT = Path(admin.__file__).parent.parent
GUNICORN = Path(sys.executable).with_name("gunicorn")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def start(sample: Sample, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(("BRIDGE_", "CONDUCTOR_", "GUNICORN_"))
    }
    return subprocess.Popen(
        [GUNICORN, "--config", str(ROOT / "admin" / "page" / "gunicorn_settings.py"), *arguments, "admin:create_app()"],
        cwd=sample.folder,
        env={**kept, **sample.environment, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ask(port: int, path: str, headers: dict[str, str] | None = None) -> int:
    """The answer's status; waits until the process answers."""
    deadline = time.monotonic() + 30
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", path, headers=headers or {})
            return connection.getresponse().status
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        finally:
            connection.close()


def stop(process: subprocess.Popen[str]) -> str:
    process.terminate()
    return process.communicate(timeout=30)[0]


def test_it_listens_on_loopback_and_needs_no_token_there(sample: Sample) -> None:
    port = free_port()
    process = start(sample, ADMIN_PORT=str(port))
    try:
        assert ask(port, "/healthz") == 200
        assert ask(port, "/api/overview") == 200
        assert ask(port, "/", {"Host": "rebound.example.com"}) == 403
        assert ask(port, "/", {"X-Forwarded-For": "192.0.2.1"}) == 403
    finally:
        text = stop(process)
    assert f"127.0.0.1:{port}" in text
    assert process.returncode == 0


@pytest.mark.parametrize("bind", ["0.0.0.0:0", "[::]:0", "unix:admin.sock"])
def test_elsewhere_it_does_not_start_without_a_token(sample: Sample, bind: str) -> None:
    process = start(sample, "--bind", bind)
    text, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "set BRIDGE_ADMIN_TOKEN to a long random text, or bind 127.0.0.1" in text
    assert "Traceback" not in text


def test_elsewhere_it_starts_with_a_token_and_asks_for_it(sample: Sample) -> None:
    port = free_port()
    process = start(sample, "--bind", f"0.0.0.0:{port}", BRIDGE_ADMIN_TOKEN="the-token-of-the-admin-page")
    try:
        assert ask(port, "/healthz") == 200
        assert ask(port, "/") == 302
        assert ask(port, "/api/overview") == 401
        headers = {"Authorization": "Bearer the-token-of-the-admin-page", "Host": "admin.example.com"}
        assert ask(port, "/api/overview", headers) == 200
    finally:
        stop(process)


def test_a_wrong_setting_ends_the_start_with_a_word(sample: Sample) -> None:
    process = start(sample, BRIDGE_RETENTION="soon", ADMIN_PORT=str(free_port()))
    text, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "BRIDGE_RETENTION: 'soon' is not a duration" in text
    assert "Traceback" not in text
