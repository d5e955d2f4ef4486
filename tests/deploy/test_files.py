"""What `deploy/` holds can be parsed, and names only processes, settings and metrics that exist."""

from __future__ import annotations

import json
import re
import shutil
import socket
import ssl
import subprocess
from configparser import ConfigParser
from contextlib import closing
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from prometheus_client import REGISTRY, Metric
from ruamel.yaml import YAML

from admin.cli.processes import PROCESSES
from config.settings import Settings
from tools.servers.processes import Child, free_port

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def yaml(path: Path) -> Any:
    """The file's values."""
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))


def families() -> list[Metric]:
    """Every metric of the bridge's processes."""
    from relay import metrics as relay_metrics
    from worker import metrics as worker_metrics

    assert worker_metrics.EVENTS in REGISTRY._collector_to_names
    found = [*REGISTRY.collect(), *relay_metrics._registry.collect()]
    return [family for family in found if family.name.startswith("bridge_")]


def metric_names() -> set[str]:
    """Every series that the processes can show."""
    names: set[str] = set()
    for family in families():
        suffixes = {
            "counter": ("_total",),
            "histogram": ("_bucket", "_sum", "_count"),
            "summary": ("", "_sum", "_count"),
        }.get(family.type, ("",))
        names |= {family.name + suffix for suffix in suffixes}
    return names


def used_metrics(text: str) -> set[str]:
    """The bridge's series that an expression or a file names."""
    return set(re.findall(r"\bbridge_[a-z_]+\b", text))


# --- Prometheus and Grafana


def test_alerts_name_only_metrics_that_exist() -> None:
    groups = yaml(DEPLOY / "prometheus" / "alerts.yml")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert rules
    for rule in rules:
        assert set(rule) >= {"alert", "expr", "labels", "annotations"}
        used = used_metrics(rule["expr"])
        assert used <= metric_names(), f"{rule['alert']} names {used - metric_names()}"
        assert used_metrics(str(rule["annotations"])) <= metric_names()


def test_every_alert_is_in_the_documentation() -> None:
    text = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    alerts = re.findall(
        r"alert: (\w+)", (DEPLOY / "prometheus" / "alerts.yml").read_text(encoding="utf-8")
    )
    assert [alert for alert in alerts if alert not in text] == []


def test_the_dashboard_names_only_metrics_that_exist() -> None:
    dashboard = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text(encoding="utf-8"))
    expressions = [
        target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())
    ]
    assert expressions
    for expression in expressions:
        used = used_metrics(expression)
        assert used, expression
        assert used <= metric_names(), f"{expression} names {used - metric_names()}"
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_the_operations_page_names_every_metric() -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    for family in families():
        name = family.name + ("_total" if family.type == "counter" else "")
        assert f"`{name}" in text, name


def test_prometheus_itself_accepts_the_rules_and_fires_the_alerts(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    rules = shutil.copy(DEPLOY / "prometheus" / "alerts.yml", tmp_path)
    subprocess.run([promtool, "check", "rules", str(rules)], check=True)
    fired = shutil.copy(Path(__file__).with_name("alerts_test.yml"), tmp_path)
    subprocess.run([promtool, "test", "rules", str(fired)], check=True, cwd=tmp_path)


# --- systemd


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_units_start_the_command_of_their_process(unit: Path) -> None:
    parsed = ConfigParser(strict=False, interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read_string(unit.read_text(encoding="utf-8"))
    name = unit.stem.removeprefix("webhook-bridge-")
    assert parsed["Service"]["ExecStart"] == f"/opt/webhook-bridge/venv/bin/webhook-bridge {name}"
    assert parsed["Service"]["User"] == "webhook-bridge"
    assert parsed["Service"]["NoNewPrivileges"] == "yes"


def test_there_is_a_command_and_a_unit_for_every_process() -> None:
    processes = re.findall(
        r"^(\w+):", (ROOT / "Procfile").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert processes == list(PROCESSES)
    assert {unit.stem for unit in UNITS} == {f"webhook-bridge-{process}" for process in processes}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_itself_accepts_the_units(unit: Path, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    # The programs aren't installed here; anything that can be executed stands for them.
    text = re.sub(
        r"/opt/webhook-bridge/venv/bin/webhook-bridge",
        "/bin/true",
        unit.read_text(encoding="utf-8"),
    )
    copy = tmp_path / unit.name
    copy.write_text(text, encoding="utf-8")
    answer = subprocess.run(
        [analyze, "verify", str(copy)], capture_output=True, text=True, check=False
    )
    said = [line for line in answer.stderr.splitlines() if unit.name in line]
    assert said == [], answer.stderr


@pytest.mark.parametrize("process", ["bridge", "worker", "admin"])
def test_environment_files_name_only_settings_that_exist(process: str) -> None:
    text = (DEPLOY / "systemd" / f"{process}.env").read_text(encoding="utf-8")
    named = set(re.findall(r"^#? ?((?:BRIDGE|CONDUCTOR)_[A-Z_]+)=", text, re.MULTILINE))
    assert named
    assert named <= {setting.upper() for setting in Settings.model_fields}


PRIVATE = {
    "CONDUCTOR_AUTH_KEY",
    "CONDUCTOR_AUTH_SECRET",
    "BRIDGE_ADMIN_TOKEN",
    "BRIDGE_VIEWER_TOKEN",
    "BRIDGE_NOTIFY",
}
"""What the relay has no need of."""


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_each_unit_reads_the_secrets_that_it_needs_and_no_other(unit: Path) -> None:
    name = unit.stem.removeprefix("webhook-bridge-")
    read = re.findall(
        r"^EnvironmentFile=-?/etc/webhook-bridge/(\w+)\.env$", unit.read_text(), re.MULTILINE
    )
    assert (
        read
        == {
            "relay": ["bridge", "relay"],
            "worker": ["bridge", "worker"],
            "admin": ["bridge", "relay", "admin"],
        }[name]
    )
    texts = {file: (DEPLOY / "systemd" / f"{file}.env").read_text() for file in read}
    named = set(re.findall(r"^(?:# )?([A-Z_]+)=", "\n".join(texts.values()), re.MULTILINE))
    needed = {
        "relay": set[str](),
        "worker": {"CONDUCTOR_AUTH_KEY", "CONDUCTOR_AUTH_SECRET", "BRIDGE_NOTIFY"},
        "admin": {
            "BRIDGE_ADMIN_TOKEN",
            "BRIDGE_VIEWER_TOKEN",
            "CONDUCTOR_AUTH_KEY",
            "CONDUCTOR_AUTH_SECRET",
        },
    }[name]
    assert named & PRIVATE == needed
    assert ("SLACK_SIGNING_SECRET" in named) is (name != "worker")


# --- containers


def test_the_containerfile_copies_every_package() -> None:
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = project.partition("\nonly-include = [")[2].partition("]")[0]
    packages = re.findall(r'"(\w+)"', listed)
    assert packages
    for package in packages:
        assert f"COPY {package} {package}\n" in text


def test_a_build_is_given_what_the_containerfile_copies_and_nothing_else() -> None:
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    copied = {
        source
        for line in re.findall(r"^COPY (?!--)(.*)$", text, re.MULTILINE)
        for source in line.split()[:-1]
    }
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert lines[1] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == copied


# --- nginx


def test_the_nginx_example_passes_only_webhooks_on() -> None:
    text = (DEPLOY / "nginx" / "webhook-bridge.conf").read_text(encoding="utf-8")
    assert re.findall(r"location (.+) \{", text) == ["~ ^/(api/)?webhook/", "/"]
    assert "client_max_body_size    25m;" in text
    # Appending would let the client say where it comes from.
    assert "proxy_add_x_forwarded_for" not in text


class Nginx(NamedTuple):
    """An example of nginx's configuration, changed so that it can run here."""

    command: list[str]
    port: int
    plain_port: int | None
    """Without TLS, where it listens there too."""


@pytest.fixture(params=["webhook-bridge.conf", "one-address.conf"])
def nginx(request: pytest.FixtureRequest, tmp_path: Path) -> Nginx:
    program, openssl = shutil.which("nginx"), shutil.which("openssl")
    if program is None or openssl is None:
        pytest.skip("nginx or openssl is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    make = [
        "req",
        "-x509",
        "-subj",
        "/CN=hooks.example.com",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
    ]
    subprocess.run(
        [openssl, *make, "-keyout", str(key), "-out", str(certificate)],
        capture_output=True,
        check=True,
    )
    text = (DEPLOY / "nginx" / request.param).read_text(encoding="utf-8")
    text = re.sub(
        r"/etc/ssl/\S+/fullchain.pem",
        str(certificate),
        re.sub(r"/etc/ssl/\S+/privkey.pem", str(key), text),
    )
    text = text.replace("/var/log/nginx/", f"{tmp_path}/")
    port, plain_port = free_port(), free_port()
    listens_plainly = "listen 80;" in text
    text = text.replace("listen 80;", f"listen 127.0.0.1:{plain_port};")
    text = text.replace("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;")
    text = re.sub(r"listen \[::\]:\d+( ssl)?;", "", text)
    for upstream in ("127.0.0.1:8000", "127.0.0.1:8080", "127.0.0.1:8090"):
        text = text.replace(upstream, f"127.0.0.1:{free_port()}")
    kept = "".join(
        f"{kind}_temp_path {tmp_path}/t;\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = tmp_path / "nginx.conf"
    kept += f"access_log {tmp_path}/access.log;\n"  # as distributions' nginx has it
    main.write_text(
        f"pid {tmp_path}/nginx.pid;\nerror_log {tmp_path}/error.log;\nevents {{}}\nhttp {{\n{kept}{text}\n}}\n",
        encoding="utf-8",
    )
    command = [program, "-e", f"{tmp_path}/error.log", "-c", str(main)]
    return Nginx(command, port, plain_port if listens_plainly else None)


def test_nginx_itself_accepts_the_examples(nginx: Nginx) -> None:
    answer = subprocess.run([*nginx.command, "-t"], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr


def test_nginx_logs_no_callbacks_token_even_without_tls_or_where_the_relay_is_away(
    nginx: Nginx, tmp_path: Path
) -> None:
    """Beside an error nginx writes the whole request line."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", nginx.port)) == 0

    server = Child("nginx", [*nginx.command, "-g", "daemon off;"], tmp_path / "nginx.out")
    try:
        server.wait_until(listens)
        with closing(HTTPSConnection("127.0.0.1", nginx.port, context=context)) as connection:
            connection.request("POST", "/api/webhook/approvals/TOKEN?code=QUERY", b"{}")
            assert connection.getresponse().status == 502
        if nginx.plain_port is not None:
            with closing(HTTPConnection("127.0.0.1", nginx.plain_port)) as plain:
                plain.request("GET", "/webhook/approvals/TOKEN?code=QUERY")
                assert plain.getresponse().status == 403
    finally:
        server.stop()
    logs = {file.name: file.read_text(encoding="utf-8") for file in tmp_path.glob("*.log")}
    assert logs
    assert not [name for name, text in logs.items() if "TOKEN" in text or "QUERY" in text]
