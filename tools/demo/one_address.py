"""One address for Conductor and the bridge, as deploy/nginx/one-address.conf makes it: for `make
run`."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tools.servers.processes import ROOT, Child

EXAMPLE = ROOT / "deploy" / "nginx" / "one-address.conf"


def config(folder: Path, port: int, ports: dict[str, int]) -> str:
    """The example for this machine alone: plain HTTP on loopback. `ports` are those of relay, admin
    and conductor.

    Without X-Forwarded-*: to the admin page whoever comes through it is on this machine, as without
    it.
    """
    text = EXAMPLE.read_text(encoding="utf-8")
    text = re.sub(r"^ *(ssl_|proxy_set_header X-|server_name).*\n", "", text, flags=re.MULTILINE)
    text = text.replace("listen 443 ssl;", f"listen 127.0.0.1:{port};").replace(
        "Host $host;", "Host $http_host;"
    )
    for usual, name in ((8000, "relay"), (8090, "admin"), (8080, "conductor")):
        text = text.replace(f"http://127.0.0.1:{usual};", f"http://127.0.0.1:{ports[name]};")
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy"))
    temporary += "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("fastcgi", "uwsgi", "scgi")
    )
    logs = f"pid {folder}/nginx.pid;\nerror_log stderr;\ndaemon off;\nworker_processes 1;\n"
    return f"{logs}events {{}}\nhttp {{\naccess_log off;\n{temporary}{text}\n}}\n"


def start(folder: Path, port: int, ports: dict[str, int]) -> Child | None:
    """Starts nginx with it; None where nginx isn't installed."""
    nginx = shutil.which("nginx")
    if nginx is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "nginx.conf"
    file.write_text(config(folder, port, ports), encoding="utf-8")
    return Child("nginx", [nginx, "-c", str(file), "-e", "stderr"], folder / "nginx.log")
