"""The chart renders to objects that Kubernetes takes, that hold the policies, and that refuse wrong
values."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from admin.cli.processes import PROCESSES
from config.settings import Settings
from relay.receiver import PATIENCE
from tests.support.chart import (
    CHART,
    ROOT,
    VALUES,
    Refused,
    containers,
    of_kind,
    pods,
    render,
    run_helm,
    with_values,
)

KUBERNETES = ("1.27", kubernetes_validate.latest_version())
"""The oldest that the chart takes, and the newest whose schemas are there."""
RESTRICTED = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
LOCKED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}
every_values = pytest.mark.parametrize(
    "values", VALUES, ids=lambda path: path.stem.removesuffix("-values")
)


@every_values
def test_helm_finds_no_fault(values: Path) -> None:
    run_helm("lint", "--strict", str(CHART), "--values", str(values))


@pytest.mark.parametrize("version", KUBERNETES)
@every_values
def test_kubernetes_takes_every_object(values: Path, version: str) -> None:
    custom = {"monitoring.coreos.com/v1", "gateway.networking.k8s.io/v1"}
    objects = [found for found in with_values(values) if found["apiVersion"] not in custom]
    assert objects
    for found in objects:
        kubernetes_validate.validate(found, version, strict=True)


def test_the_chart_has_the_projects_version() -> None:
    chart = YAML(typ="safe", pure=True).load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert f'version = "{chart["appVersion"]}"\n' in (ROOT / "pyproject.toml").read_text(
        encoding="utf-8"
    )


def test_a_long_release_name_leaves_room_for_the_parts() -> None:
    text = run_helm(
        "template", "a" * 53, str(CHART), "--values", str(CHART / "ci" / "everything-values.yaml")
    )
    names = [found["metadata"]["name"] for found in YAML(typ="safe", pure=True).load_all(text)]
    assert max(map(len, names)) <= 63


@every_values
def test_every_pod_holds_the_restricted_standard_and_more(values: Path) -> None:
    """A cluster that enforces the standard takes them too: tests/cluster."""
    found = pods(with_values(values))
    assert found
    for pod in found.values():
        assert pod["securityContext"].items() >= RESTRICTED.items()
        assert pod["securityContext"]["runAsUser"] == 10001
        assert pod["automountServiceAccountToken"] is False
        assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC"}
        assert not [volume for volume in pod["volumes"] if "hostPath" in volume]
        for container in containers(pod):
            assert container["securityContext"] == LOCKED
            resources = container["resources"]
            assert {"cpu", "memory"} <= set(resources["requests"])
            assert "memory" in resources["limits"]
            assert not [mount for mount in container["volumeMounts"] if "subPath" in mount], (
                "it never changes"
            )
            assert not [port for port in container.get("ports", []) if "hostPort" in port]


def test_where_the_platform_chooses_the_user_none_is_named() -> None:
    for pod in pods(with_values("postgresql", "runAsUser=null")).values():
        assert pod["securityContext"].items() >= RESTRICTED.items()
        assert not {"runAsUser", "fsGroup"} & set(pod["securityContext"])


@every_values
def test_environments_name_only_settings_that_exist(values: Path) -> None:
    for pod in pods(with_values(values)).values():
        for container in containers(pod):
            names = [variable["name"] for variable in container["env"]]
            assert len(names) == len(set(names)), "the last of two would win, silently"
            ours = {name for name in names if name.startswith(("BRIDGE_", "CONDUCTOR_"))}
            # The viewer's token stands for any setting that a Secret may hold.
            assert ours - {"BRIDGE_VIEWER_TOKEN"} <= {
                setting.upper() for setting in Settings.model_fields
            }


# --- what runs, and how often


def test_postgresql_has_two_relays_two_workers_and_one_page() -> None:
    deployments = of_kind(with_values("postgresql"), "Deployment")
    assert {name: found["spec"]["replicas"] for name, found in deployments.items()} == {
        "relay": 2,
        "worker": 2,
        "admin": 1,
    }
    for name in ("relay", "worker"):
        spec = deployments[name]["spec"]
        assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
        spread = spec["template"]["spec"]["topologySpreadConstraints"]
        assert [rule["topologyKey"] for rule in spread] == [
            "kubernetes.io/hostname",
            "topology.kubernetes.io/zone",
        ]
    assert set(of_kind(with_values("postgresql"), "PodDisruptionBudget")) == {"relay", "worker"}


@pytest.mark.parametrize("values", ["postgresql", "sqlite"])
def test_every_process_gets_requests_once_it_is_ready_and_is_restarted_if_it_is_not_alive(
    values: str,
) -> None:
    objects = with_values(values)
    found = [
        one
        for pod in pods(objects).values()
        for one in pod["containers"]
        if one["name"] in PROCESSES
    ]
    assert sorted(container["name"] for container in found) == sorted(PROCESSES)
    for container in found:
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
        assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
        assert container["startupProbe"]["httpGet"]["path"] == "/healthz"
        assert container["readinessProbe"]["timeoutSeconds"] > PATIENCE, (
            "it answers within its time"
        )


def test_a_relay_that_goes_takes_deliveries_until_everybody_knows_and_then_ends_them() -> None:
    settings = (ROOT / "relay" / "gunicorn_settings.py").read_text(encoding="utf-8")
    [graceful_timeout] = re.findall(r"^graceful_timeout = (\d+)$", settings, re.MULTILINE)
    pod = pods(with_values("postgresql"))["relay"]
    [relay] = pod["containers"]
    program, seconds = relay["lifecycle"]["preStop"]["exec"]["command"]
    assert program == "sleep"
    assert pod["terminationGracePeriodSeconds"] > int(seconds) + int(graceful_timeout)
    with pytest.raises(Refused, match="/relay/stopSeconds"):
        with_values("postgresql", f"relay.stopSeconds={graceful_timeout}")


def test_sqlite_is_one_pod_and_one_volume() -> None:
    objects = with_values("sqlite")
    [deployment] = of_kind(objects, "Deployment").values()
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    pod = deployment["spec"]["template"]["spec"]
    assert [container["name"] for container in pod["containers"]] == ["relay", "worker", "admin"]
    [claim] = of_kind(objects, "PersistentVolumeClaim").values()
    assert {
        "name": "data",
        "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]},
    } in pod["volumes"]
    assert of_kind(objects, "PodDisruptionBudget") == {}
    assert set(of_kind(objects, "Service")) == {"relay", "worker", "admin"}


def test_turning_autoscaling_on_never_leaves_fewer_relays_than_it_allows() -> None:
    objects = with_values("everything")
    [scaler] = of_kind(objects, "HorizontalPodAutoscaler").values()
    # Without a number Kubernetes falls back to its default, one.
    assert (
        of_kind(objects, "Deployment")["relay"]["spec"]["replicas"]
        == scaler["spec"]["minReplicas"]
        > 1
    )
    assert (
        scaler["spec"]["scaleTargetRef"]["name"]
        == of_kind(objects, "Deployment")["relay"]["metadata"]["name"]
    )


@every_values
def test_every_service_finds_its_pods(values: Path) -> None:
    objects = with_values(values)
    templates = [found["spec"]["template"] for found in objects if found["kind"] == "Deployment"]
    for service in of_kind(objects, "Service").values():
        selector = service["spec"]["selector"].items()
        [template] = [
            found for found in templates if selector <= found["metadata"]["labels"].items()
        ]
        names = {
            port["name"]
            for container in containers(template["spec"])
            for port in container["ports"]
        }
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= names


# --- definitions and secrets


def test_a_change_of_the_definitions_changes_no_pod(tmp_path: Path) -> None:
    file = tmp_path / "webhooks.yaml"
    arguments = (
        "--values",
        str(CHART / "ci" / "postgresql-values.yaml"),
        "--set-file",
        f"webhooks={file}",
    )
    seen = []
    for name in ("one", "two"):
        text = f'# {name}: {{{{ not a template }}}}, "quoted"\nwebhooks:\n  - {{name: slack, platform: {name}}}\n'
        file.write_text(text, encoding="utf-8")
        render.cache_clear()
        objects = render(*arguments)
        assert of_kind(objects, "ConfigMap")["webhooks"]["data"] == {"webhooks.yaml": text}
        seen.append(of_kind(objects, "Deployment"))
    assert seen[0] == seen[1]


@every_values
def test_every_process_reads_the_definitions_from_a_whole_folder(values: Path) -> None:
    for pod in pods(with_values(values)).values():
        [volume] = [volume for volume in pod["volumes"] if volume["name"] == "webhooks"]
        assert "items" not in volume["configMap"]
        for container in containers(pod):
            folder = next(
                each["value"] for each in container["env"] if each["name"] == "BRIDGE_WEBHOOKS"
            )
            [mount] = [mount for mount in container["volumeMounts"] if mount["name"] == "webhooks"]
            assert mount["mountPath"] == folder


def secrets_of(container: dict[str, Any]) -> set[str]:
    """The Secrets that it has in its environment."""
    one_by_one = {
        variable["valueFrom"]["secretKeyRef"]["name"]
        for variable in container["env"]
        if "valueFrom" in variable
    }
    return one_by_one | {source["secretRef"]["name"] for source in container.get("envFrom", [])}


def test_no_process_has_secrets_that_it_does_not_need() -> None:
    found = pods(with_values("everything"))
    secrets = {
        name: secrets_of(container)
        for name, pod in found.items()
        for container in pod["containers"]
    }
    assert secrets == {
        "relay": {"webhook-secrets", "bridge-database"},
        "worker": {"bridge-notify", "bridge-database", "conductor-key"},
        "admin": {"webhook-secrets", "bridge-database", "bridge-admin"},
        "check": {"webhook-secrets"},
        "test": {"webhook-secrets"},
    }
    files = {
        name: [
            mount["name"]
            for mount in container["volumeMounts"]
            if mount["name"].startswith("secret-")
        ]
        for name, pod in found.items()
        for container in pod["containers"]
    }
    both = ["secret-webhook-secrets", "secret-partner-keys"]
    assert files == {"relay": both, "worker": [], "admin": both, "check": both, "test": both}
    volumes = {volume["name"] for volume in found["worker"]["volumes"]}
    assert not volumes & set(both)


def test_the_database_is_a_url_or_a_host_with_a_password() -> None:
    def variable(values: str, name: str) -> Any:
        [relay] = pods(with_values(values))["relay"]["containers"]
        return next(variable for variable in relay["env"] if variable["name"] == name)

    assert variable("postgresql", "BRIDGE_DATABASE")["valueFrom"]["secretKeyRef"] == {
        "name": "bridge-database",
        "key": "url",
    }
    assert (
        variable("everything", "BRIDGE_DATABASE")["value"]
        == "postgresql://hooks%40team@db.example.com:6432/hooks?sslmode=verify-full"
    )
    assert variable("everything", "PGPASSWORD")["valueFrom"]["secretKeyRef"]["key"] == "password"


# --- the network


def test_the_way_in_publishes_webhooks_only() -> None:
    objects = with_values("everything")
    [rule] = of_kind(objects, "Ingress")[""]["spec"]["rules"]
    assert [(path["path"], path["pathType"]) for path in rule["http"]["paths"]] == [
        ("/webhook/", "Prefix"),
        ("/api/webhook/", "Prefix"),
    ]
    for path in rule["http"]["paths"]:
        assert path["backend"]["service"] == {
            "name": "bridge-webhook-bridge-relay",
            "port": {"name": "http"},
        }
    route = of_kind(objects, "HTTPRoute")[""]
    assert [match["path"] for rule in route["spec"]["rules"] for match in rule["matches"]] == [
        {"type": "PathPrefix", "value": "/webhook/"},
        {"type": "PathPrefix", "value": "/api/webhook/"},
    ]
    for values in VALUES:
        for service in of_kind(with_values(values), "Service").values():
            assert service["spec"].get("type", "ClusterIP") == "ClusterIP"


def test_at_conductors_address_its_documented_webhook_routes_are_the_bridges() -> None:
    objects = with_values("everything")
    [rule] = of_kind(objects, "Ingress")["conductor"]["spec"]["rules"]
    assert rule["host"] == "conductor.example.com"
    backends = {path["path"]: path["backend"]["service"]["name"] for path in rule["http"]["paths"]}
    assert backends == {
        "/api/webhook/": "bridge-webhook-bridge-relay",
        "/api/metadata/webhook": "bridge-webhook-bridge-admin",
        "/api/token": "bridge-webhook-bridge-admin",
        "/": "conductor-server",
    }
    route = of_kind(objects, "HTTPRoute")["conductor"]
    routed = {
        match["path"]["value"]: rule["backendRefs"][0]["name"]
        for rule in route["spec"]["rules"]
        for match in rule["matches"]
    }
    assert routed == backends


def ports(rules: list[dict[str, Any]]) -> set[int]:
    """The ports that the rules of a policy open."""
    assert all(rule.get("ports") for rule in rules), "a rule without ports opens them all"
    return {port["port"] for rule in rules for port in rule["ports"]}


def test_what_is_not_needed_is_refused_by_the_network() -> None:
    policies = of_kind(with_values("postgresql"), "NetworkPolicy")
    opened = {
        name: (ports(policy["spec"]["ingress"]), ports(policy["spec"]["egress"]))
        for name, policy in policies.items()
    }
    assert opened == {
        "relay": ({8000}, {53, 5432}),
        "worker": (set(), {53, 5432, 8080}),
        "admin": (set(), {53, 5432, 8000}),  # the relay, for test events
    }
    [policy] = of_kind(with_values("sqlite"), "NetworkPolicy").values()
    assert (ports(policy["spec"]["ingress"]), ports(policy["spec"]["egress"])) == (
        {8000},
        {53, 8080},
    )


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("http://conductor/api", 80),
        ("https://conductor.example.com/api", 443),
        ("http://[2001:db8::1]:8080/api", 8080),
        ("http://10.0.0.1/api", 80),
    ],
)
def test_the_worker_may_reach_the_port_of_conductors_url(url: str, port: int) -> None:
    policy = of_kind(with_values("postgresql", f"conductor.url={url}"), "NetworkPolicy")["worker"]
    assert ports(policy["spec"]["egress"]) == {53, 5432, port}


# --- watching


def test_rules_and_dashboard_are_those_of_the_project() -> None:
    objects = with_values("everything")
    [rule] = of_kind(objects, "PrometheusRule").values()
    alerts = YAML(typ="safe", pure=True).load(
        (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text(encoding="utf-8")
    )
    assert rule["spec"] == alerts
    dashboard = (ROOT / "deploy" / "grafana" / "dashboard.json").read_text(encoding="utf-8")
    assert of_kind(objects, "ConfigMap")["dashboard"]["data"] == {"webhook-bridge.json": dashboard}
    monitors = of_kind(objects, "ServiceMonitor")
    assert set(monitors) == {"relay", "worker"}
    for name, monitor in monitors.items():
        [endpoint] = monitor["spec"]["endpoints"]
        assert endpoint["relabelings"] == [
            {"targetLabel": "job", "replacement": f"webhook-bridge-{name}"}
        ]
        selector = monitor["spec"]["selector"]["matchLabels"].items()
        [service] = [
            each
            for each in of_kind(objects, "Service").values()
            if selector <= each["metadata"]["labels"].items()
        ]
        assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}


# --- wrong values


WRONG = [
    (
        "postgresql",
        "settings.BRIDGE_RETENTOIN=14d",
        "settings.BRIDGE_RETENTOIN: the bridge has no such setting",
    ),
    (
        "postgresql",
        "networkPolicy.ingressFrom=null",
        "networkPolicy.ingressFrom: [] would let nobody reach the relay",
    ),
    ("postgresql", "relay.replica=3", "at '/relay': additional properties 'replica'"),
    ("postgresql", "relay.replicas=0", "at '/relay/replicas'"),
    (
        "postgresql",
        "settings.BRIDGE_DATABASE=x",
        "settings.BRIDGE_DATABASE: the chart sets it; use database",
    ),
    (
        "postgresql",
        "settings.BRIDGE_ADMIN_WRITES=on",
        "settings.BRIDGE_ADMIN_WRITES: definitions are in a ConfigMap",
    ),
    (
        "postgresql",
        "relay.metricsPort=8000",
        "relay.port: 8000 is the port of relay.metricsPort already",
    ),
    ("postgresql", "ingress.enabled=true", "ingress.host"),
    ("postgresql", "admin.existingSecret=", "admin.existingSecret: name a Secret"),
    ("postgresql", "webhooks=", "--set-file webhooks=webhooks.yaml"),
    ("postgresql", "existingConfigMap=mine", "there is existingConfigMap too"),
    ("sqlite", "relay.replicas=2", "relay.replicas: 2 with database.sqlite.enabled"),
    (
        "sqlite",
        "relay.autoscaling.enabled=true",
        "relay.autoscaling.enabled: not with database.sqlite.enabled",
    ),
    ("sqlite", "database.existingSecret=db", "database: sqlite.enabled is set beside"),
]


@pytest.mark.parametrize(
    ("values", "setting", "words"), WRONG, ids=[setting for _, setting, _ in WRONG]
)
def test_a_wrong_value_is_an_error_that_names_it(values: str, setting: str, words: str) -> None:
    with pytest.raises(Refused) as refused:
        with_values(values, setting)
    assert words in str(refused.value)


def test_every_value_is_in_the_schema_and_every_object_of_the_schema_is_closed() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    values = YAML(typ="safe", pure=True).load((CHART / "values.yaml").read_text(encoding="utf-8"))

    def compare(known: dict[str, Any], given: Any, path: str) -> None:
        if "properties" not in known:
            return
        assert known["additionalProperties"] is False, path
        missing = set(known["properties"]) ^ set(given)
        # Of a chart that has this one as a part.
        assert missing <= {"global"}, f"{path}: {missing}"
        for name, value in given.items():
            compare(known["properties"][name], value, f"{path}.{name}")

    compare(schema, values, "")


# --- afterwards


@every_values
def test_new_definitions_are_checked_before_an_upgrade_changes_anything(values: Path) -> None:
    objects = with_values(values)
    job = of_kind(objects, "Job")["check"]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert job["metadata"]["annotations"]["helm.sh/hook-output-log-policy"] == "hook-failed", (
        "helm shows the mistakes"
    )
    pod = pods(objects)["check"]
    assert pod["containers"][0]["command"] == ["webhook-bridge", "check", "--offline"]
    # Neither the chart's service account nor, with `webhooks`, its ConfigMap is there before the
    # first install.
    assert pod["serviceAccountName"] == "default"
    [mounted] = [each["configMap"]["name"] for each in pod["volumes"] if each["name"] == "webhooks"]
    if (own := of_kind(objects, "ConfigMap")).get("webhooks"):
        hook = own["check"]
        assert mounted == hook["metadata"]["name"]
        assert hook["data"] == own["webhooks"]["data"]
        before, after = (
            int(each["metadata"]["annotations"].get("helm.sh/hook-weight", 0))
            for each in (hook, job)
        )
        assert before < after
    assert "check" not in pods(with_values(values, "check.enabled=false"))
    # As `helm upgrade --reuse-values` gives the values of a chart that had no check.
    assert "check" in pods(with_values(values, "check=null", "conductorAddress=null"))


def test_the_chart_knows_every_setting_and_refuses_others() -> None:
    helpers = (CHART / "templates" / "_helpers.tpl").read_text(encoding="utf-8")
    [known] = re.findall(r"\$known := list (.*) }}", helpers)
    own = {name.upper() for name in Settings.model_fields if name.startswith("bridge_")}
    # For commands that no pod runs.
    of_laptops = {
        "BRIDGE_LISTEN_TOKEN",
        "BRIDGE_SERVER",
        "BRIDGE_TOKEN",
    }
    assert set(re.findall(r'"(\w+)"', known)) == own - of_laptops


def test_any_is_every_pod_and_an_empty_list_is_nobody() -> None:
    policies = of_kind(with_values("postgresql", "networkPolicy.metricsFrom=any"), "NetworkPolicy")
    ports = {"relay": 9108, "worker": 9109}
    for component, port in ports.items():
        rules = policies[component]["spec"]["ingress"]
        assert [rule for rule in rules if "from" not in rule and rule["ports"][0]["port"] == port]
    policies = of_kind(with_values("postgresql"), "NetworkPolicy")
    assert policies["worker"]["spec"]["ingress"] == []
    [rule] = policies["relay"]["spec"]["ingress"]
    assert "from" not in rule


def test_helm_test_posts_to_the_first_webhook_or_to_the_named_one() -> None:
    [send] = pods(with_values("postgresql"))["test"]["containers"]
    assert send["command"] == ["webhook-bridge", "send", "slack"]
    assert "http://bridge-webhook-bridge-relay:8000" in send["args"]
    [send] = pods(with_values("everything"))["test"]["containers"]
    assert send["command"] == ["webhook-bridge", "send", "github-deploys"]
    assert send["args"][-2:] == ["--header", "X-GitHub-Event: ping"]
    assert "test" not in pods(with_values("everything", "test.webhook="))
