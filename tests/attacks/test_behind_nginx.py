"""The relay behind nginx as deploy/nginx configures it: a buffering proxy hands over complete
requests only."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.support.chance import in_time
from tests.support.relay_process import KEY, Process, definitions, serving
from tools.servers import PATIENCE, eventually
from tools.servers.processes import free_port

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="no nginx: apt-get install nginx")
CONFIGURATION = Path(__file__).parents[2] / "deploy" / "nginx" / "webhook-bridge.conf"
HEAD = f"POST /webhook/one HTTP/1.1\r\nHost: h\r\nX-Api-Key: {KEY}\r\nContent-Type: application/json\r\n".encode()


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Process]:
    with serving(tmp_path, definitions("one"), BRIDGE_TRUSTED_PROXIES="127.0.0.1") as process:
        yield process


@pytest.fixture
def port(relay: Process, tmp_path: Path) -> Iterator[int]:
    """nginx's, without TLS."""
    port, folder = free_port(), tmp_path / "nginx"
    folder.mkdir()
    text = re.sub(
        r"^\s*(ssl_|listen \[).*$",
        "",
        CONFIGURATION.read_text(encoding="utf-8"),
        flags=re.MULTILINE,
    )
    text = text.replace("listen 443 ssl;", f"listen 127.0.0.1:{port};").replace(
        "listen 80;", f"listen {free_port()};"
    )
    text = text.replace("127.0.0.1:8000", f"127.0.0.1:{relay.port}").replace(
        "/var/log/nginx/", f"{folder}/"
    )
    text = text.replace("server_name hooks.example.com;", "server_name h;")
    folders = "".join(
        f"{kind}_temp_path {folder}/t;"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    file = folder / "nginx.conf"
    file.write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/log;\nevents {{}}\nhttp {{ {folders}\n{text}\n}}\n"
    )
    assert NGINX is not None
    server = subprocess.Popen([NGINX, "-e", f"{folder}/log", "-c", str(file)])
    try:
        assert eventually(lambda: relay.status("POST", "/webhook/one", b"{}", port) != 0)
        yield port
    finally:
        server.terminate()
        server.wait(PATIENCE)


@pytest.mark.measured
def test_a_flood_of_one_byte_chunks_and_half_requests_never_reach_the_relay(
    relay: Process, port: int
) -> None:
    over, usual = threading.Event(), relay.seconds(port, relay.port)

    def flood() -> None:
        while not over.is_set():
            with (
                suppress(OSError),
                socket.create_connection(("127.0.0.1", port), timeout=1) as peer,
            ):
                peer.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
                while not over.is_set():
                    peer.sendall(b"1\r\nx\r\n" * 10_000)

    threads = [threading.Thread(target=flood, daemon=True) for _ in range(2)]
    with ExitStack() as stack:
        for thread in threads:
            thread.start()
            stack.callback(thread.join)
        stack.callback(over.set)
        for number in range(200):
            peer = stack.enter_context(
                socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
            )
            peer.sendall((HEAD[:50], HEAD + b"Content-Length: 25000000\r\n\r\n{")[number % 2])
        in_time(relay.seconds(port, relay.port) < 6 + 20 * usual)
    for number in (0, 100):
        assert relay.status("POST", "/webhook/one", b'"' + b"x" * number * 1000 + b'"', port) == 200
