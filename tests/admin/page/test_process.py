"""The admin process as the Procfile starts it."""

from __future__ import annotations

import gc
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from unittest import mock

import pytest

from admin.__main__ import main
from tests.support.sample import Sample, make_sample
from tools.servers import PATIENCE
from tools.servers.processes import dies_with_us, free_port

TOKEN = "the-token-of-the-admin-page"


def start(sample: Sample, files: int = 1024, **environment: str) -> subprocess.Popen[str]:
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("BRIDGE_", "CONDUCTOR_", "ADMIN_"))
    }
    return subprocess.Popen(
        dies_with_us(
            ["sh", "-c", f'ulimit -n {files}; exec "$@"', "sh", sys.executable, "-m", "admin"]
        ),
        cwd=sample.folder,
        env={**kept, **sample.environment, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ask(port: int, path: str, headers: dict[str, str] | None = None) -> int:
    """The answer's status; waits until the process answers."""
    deadline = time.monotonic() + PATIENCE
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
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
    return process.communicate(timeout=PATIENCE)[0]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Where an admin process without a token listens: one for all tests that leave it as it is."""
    sample = make_sample(tmp_path_factory.mktemp("admin"))
    port = free_port()
    process = start(sample, ADMIN_PORT=str(port))
    try:
        ask(port, "/healthz")
        yield port
    finally:
        text = stop(process)
        sample.store.close()
    assert "Traceback" not in text


def test_it_listens_on_loopback_and_needs_no_token_there(port: int) -> None:
    assert ask(port, "/healthz") == 200
    assert ask(port, "/api/overview") == 200
    assert ask(port, "/", {"Host": "rebound.example.com"}) == 403
    assert ask(port, "/", {"X-Forwarded-For": "192.0.2.1"}) == 403


@pytest.fixture
def refusal(
    sample: Sample, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """What it says with these settings instead of starting; in the tests' process, as one of its
    own takes a second."""

    def of(**environment: str) -> str:
        for name in [
            name for name in os.environ if name.startswith(("BRIDGE_", "CONDUCTOR_", "ADMIN_"))
        ]:
            monkeypatch.delenv(name)
        for name, value in (sample.environment | environment).items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(sample.folder)
        monkeypatch.setattr(sys, "argv", ["admin"])
        monkeypatch.setattr("admin.__main__.configure_logging", mock.Mock())
        monkeypatch.setattr(
            "waitress.server.TcpWSGIServer.run", mock.Mock(side_effect=AssertionError("it starts"))
        )
        assert main() == 1
        return capsys.readouterr().err

    return of


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_elsewhere_it_does_not_start_without_a_token(
    refusal: Callable[..., str], host: str
) -> None:
    text = refusal(ADMIN_HOST=host)
    assert "set BRIDGE_ADMIN_TOKEN to a long random string, or ADMIN_HOST to 127.0.0.1" in text


def test_elsewhere_it_starts_with_a_token_and_asks_for_it(sample: Sample) -> None:
    port = free_port()
    process = start(sample, ADMIN_HOST="0.0.0.0", ADMIN_PORT=str(port), BRIDGE_ADMIN_TOKEN=TOKEN)
    try:
        assert ask(port, "/healthz") == 200
        assert ask(port, "/") == 302
        assert ask(port, "/api/overview") == 401
        assert (
            ask(
                port,
                "/api/overview",
                {"Authorization": f"Bearer {TOKEN}", "Host": "admin.example.com"},
            )
            == 200
        )
    finally:
        stop(process)


@pytest.mark.parametrize(
    ("setting", "value", "reason"),
    [
        ("BRIDGE_RETENTION", "soon", "BRIDGE_RETENTION: 'soon' is not a duration"),
        ("ADMIN_PORT", "http", "ADMIN_PORT: 'http' is not a port"),
        ("BRIDGE_ADMIN_TOKEN", "short", "BRIDGE_ADMIN_TOKEN: shorter than 16 characters"),
        ("BRIDGE_VIEWER_TOKEN", TOKEN, "BRIDGE_VIEWER_TOKEN: the same as BRIDGE_ADMIN_TOKEN"),
    ],
)
def test_a_wrong_setting_ends_the_start_with_a_word(
    refusal: Callable[..., str], setting: str, value: str, reason: str
) -> None:
    settings = {"BRIDGE_ADMIN_TOKEN": TOKEN, "ADMIN_PORT": "8090", setting: value}
    assert reason in refusal(**settings)


@pytest.mark.usefixtures("only_new_garbage")
def test_a_port_that_is_taken_ends_the_start_with_a_word(refusal: Callable[..., str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, warnings.catch_warnings():
        # What the server had opened before it failed.
        warnings.simplefilter("ignore", ResourceWarning)
        text = refusal(ADMIN_PORT=str(taken.getsockname()[1]))
        gc.collect()
    assert "can't listen on 127.0.0.1 port" in text


def test_help_says_how_it_is_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["admin", "--help"])
    assert main() == 0
    assert "ADMIN_HOST" in capsys.readouterr().out


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"GET / HTT",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ",
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\ntoken=",
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ntok",
    ],
)
def test_requests_that_never_end_hold_up_nobody(port: int, beginning: bytes) -> None:
    with ExitStack() as stack:
        for _ in range(50):
            connection = stack.enter_context(
                socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
            )
            connection.sendall(beginning)
        assert ask(port, "/api/overview") == 200


def test_connections_beyond_what_the_system_allows_fill_no_log_and_leave_no_trace(
    sample: Sample,
) -> None:
    port = free_port()
    process = start(sample, files=128, ADMIN_PORT=str(port))
    try:
        ask(port, "/healthz")
        with ExitStack() as stack:
            for _ in range(300):
                connection = stack.enter_context(
                    socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
                )
                connection.sendall(b"GET / HTT")
        assert ask(port, "/healthz") == 200
    finally:
        text = stop(process)
    assert "Too many open files" not in text


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /events/%ff%fe%00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
def test_hostile_bytes_are_answered_with_a_4xx_and_harm_nobody(port: int, request_: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(request_)
        status = connection.makefile("rb").readline()
    assert status.split()[1][:1] == b"4", status
    assert ask(port, "/healthz") == 200


def test_a_header_that_a_client_doubles_is_no_reason_to_refuse(port: int) -> None:
    """Orkes' Go SDK sends Content-Type and Accept twice."""
    body = b'{"keyId": "a", "keySecret": "b"}'
    head = (
        f"POST /api/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
        "Content-Type: application/json\r\nContent-Type: application/json\r\n"
        "Accept: application/json\r\nAccept: application/json\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(head.encode() + body)
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 200")
    assert b'"token"' in answer


def test_many_live_pages_hold_up_nobody(sample: Sample) -> None:
    port = free_port()
    process = start(sample, ADMIN_PORT=str(port), BRIDGE_ADMIN_TOKEN=TOKEN)
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    try:
        ask(port, "/healthz")
        process.send_signal(signal.SIGHUP)  # as it makes relay and worker read the definitions
        with ExitStack() as stack:
            for _ in range(100):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
                stack.callback(connection.close)
                connection.request("GET", "/deliveries/rows", headers=bearer)
            for path in ("/healthz", "/readyz", "/api/overview", "/deliveries", "/api/events"):
                assert ask(port, path, bearer) == 200, path
        text = stop(process)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert f"127.0.0.1:{port}" in text
    assert "Traceback" not in text
