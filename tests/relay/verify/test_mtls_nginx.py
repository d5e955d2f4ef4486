"""A real nginx with client certificates in front of the relay: only the partner's gets through."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.client import HTTPSConnection
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from tests.support.relay import MakeRelay, Relay
from tools.servers import PATIENCE, eventually
from tools.servers.processes import free_port

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="no nginx: apt-get install nginx")
_CONFIGURATION = """
daemon off; pid {folder}/pid; error_log stderr; events {{}}
http {{
  access_log off; client_body_temp_path {folder}/t; proxy_temp_path {folder}/t; fastcgi_temp_path {folder}/t;
  uwsgi_temp_path {folder}/t; scgi_temp_path {folder}/t;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.key;
    ssl_client_certificate {folder}/ca.pem; ssl_verify_client on;
    location / {{
      proxy_pass http://127.0.0.1:{relay};
      proxy_set_header X-SSL-Client-S-DN $ssl_client_s_dn;
      proxy_set_header X-SSL-Client-Cert $ssl_client_escaped_cert;
      proxy_set_header X-Forwarded-For $remote_addr;
    }}
  }}
}}
"""


def issue(folder: Path, name: str, by: str | None = None) -> None:
    """Writes a certificate for that name: NAME.pem and NAME.key. Without an issuer it is one
    itself."""
    subject = f"/O=Example, Inc./CN={name}" if by else f"/CN={name}"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "9",
        "-subj",
        subject,
    ]
    command += ["-out", f"{name}.pem", "-keyout", f"{name}.key"]
    if by:
        extensions = ("basicConstraints=critical,CA:FALSE", f"subjectAltName=DNS:{name}.example")
        command += [
            "-CA",
            f"{by}.pem",
            "-CAkey",
            f"{by}.key",
            *(f"-addext={one}" for one in extensions),
        ]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Not now."""


@pytest.fixture
def relay(make_relay: MakeRelay) -> Relay:
    subject = "CN=partner,O=Example\\, Inc."
    return make_relay(
        {"name": "by-name", "mtls": {"header": "X-SSL-Client-S-DN", "subject": subject}},
        {
            "name": "by-certificate",
            "mtls": {"header": "X-SSL-Client-Cert", "san": "partner.example", "subject": subject},
        },
        bridge_trusted_proxies="127.0.0.1",
    )


@pytest.fixture
def port(relay: Relay, tmp_path: Path) -> Iterator[int]:
    """The port of nginx."""
    server = make_server("127.0.0.1", 0, relay.app, handler_class=_Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    port = free_port()
    for name, by in (
        ("ca", None),
        ("server", "ca"),
        ("partner", "ca"),
        ("other", "ca"),
        ("stranger", None),
    ):
        issue(tmp_path, name, by)
    (tmp_path / "t").mkdir()
    text = _CONFIGURATION.format(folder=tmp_path, port=port, relay=server.server_port)
    (tmp_path / "nginx.conf").write_text(text)
    assert NGINX is not None
    process = subprocess.Popen([NGINX, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")])
    try:
        eventually(lambda: listens(port))
        yield port
    finally:
        process.terminate()
        process.wait()
        server.shutdown()
        thread.join()
        server.server_close()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def post(port: int, folder: Path, webhook: str, client: str, headers: dict[str, str]) -> int:
    """The status of a delivery with that client's certificate."""
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    context.check_hostname = False
    context.load_cert_chain(folder / f"{client}.pem", folder / f"{client}.key")
    connection = HTTPSConnection("127.0.0.1", port, context=context, timeout=PATIENCE)
    try:
        connection.request(
            "POST",
            f"/webhook/{webhook}",
            b'{"a": 1}',
            {"Content-Type": "application/json", **headers},
        )
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("webhook", ["by-name", "by-certificate"])
def test_only_the_partners_certificate_gets_through_nginx(
    webhook: str, port: int, relay: Relay, tmp_path: Path
) -> None:
    forged = {
        "X-SSL-Client-S-DN": "CN=partner,O=Example\\, Inc.",
        "X-SSL-Client-Cert": (tmp_path / "partner.pem").name,
    }
    assert post(port, tmp_path, webhook, "other", forged) == 401
    assert post(port, tmp_path, webhook, "partner", {}) == 200
    assert post(port, tmp_path, webhook, "stranger", forged) == 400
    event = relay.event()
    secret = "x-ssl-client-s-dn" if webhook == "by-name" else "x-ssl-client-cert"
    assert secret not in event.headers
