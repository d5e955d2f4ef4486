"""What an operator does to a release on PostgreSQL while deliveries come in: none is lost, none is
applied twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.cluster.load import SLACK_SECRET, Load
from tests.cluster.operator import Operator, Refused, nodes, run
from tests.support.chart import CHART, NAME, RELEASE
from tools.servers.client import wait_for
from tools.servers.postgres import Postgres, find_programs

pytestmark = pytest.mark.cluster
SECRET = "${file:/run/secrets/bridge/webhook-secrets/SLACK_SIGNING_SECRET}"


@pytest.fixture(scope="module")
def operator(new_operator: Callable[..., Operator], postgres: Postgres) -> Operator:
    """With an empty database."""
    operator = new_operator(
        secretEnv=[], secretFiles=["webhook-secrets"], database={"existingSecret": "database"}
    )
    operator.secret("database", url=postgres.new_database("cluster"))
    return operator


@pytest.fixture(scope="module")
def load(operator: Operator, new_load: Callable[[str], Load]) -> Load:
    """On the release, which is installed."""
    load = new_load(operator.open_entry("relay"))
    operator.values["webhooks"] = load.definitions(SECRET)
    operator.install()
    return load


@pytest.fixture(autouse=True)
def whole(operator: Operator, load: Load) -> Iterator[None]:
    """Every test begins with the same values, whatever the one before has set, and once the pods
    that it replaced are gone."""
    operator.rolled_out()
    values = dict(operator.values)
    yield
    if operator.values != values:
        operator.values = values
        operator.install()


def changed(operator: Operator, retention: str) -> None:
    """Another setting, which replaces every pod."""
    operator.values["settings"] = operator.values["settings"] | {"BRIDGE_RETENTION": retention}


def test_helm_test_sends_a_delivery_and_leaves_no_pod(operator: Operator) -> None:
    assert "helm-test" in operator.helm("test", "--logs")
    assert operator.pods("test", "check") == []


def test_relays_and_workers_are_spread_over_the_nodes(operator: Operator) -> None:
    for component in ("relay", "worker"):
        pods = operator.objects("pod", f"app.kubernetes.io/component={component}")
        assert len({pod["spec"]["nodeName"] for pod in pods}) == min(2, len(nodes()))


def test_a_roll_out_interrupts_nothing(operator: Operator, load: Load) -> None:
    with load:
        load.more()
        operator.kubectl("rollout", "restart", "deployment")
        operator.rolled_out()
        load.more()
    assert load.failures == []


def test_an_upgrade_and_its_rollback_interrupt_nothing(operator: Operator, load: Load) -> None:
    with load:
        load.more()
        changed(operator, "20d")
        operator.install()
        load.more()
        operator.helm("rollback", "--wait")
        load.more()
    assert load.failures == []


def test_an_upgrade_whose_pods_do_not_start_is_taken_back_and_interrupts_nothing(
    operator: Operator, load: Load
) -> None:
    operator.values["relay"] = {"resources": {"requests": {"cpu": "1000"}}}
    with load:
        load.more()
        with pytest.raises(Refused):
            operator.install(CHART, "--atomic", "--timeout", "90s")
        operator.rolled_out()
        load.more()
    assert load.failures == []
    assert json.loads(operator.helm("status", "--output", "json"))["info"]["status"] == "deployed"


def test_pods_that_are_killed_lose_nothing(operator: Operator, load: Load) -> None:
    with load:
        for pod in operator.pods("relay", "worker"):
            load.more()
            operator.kubectl("delete", "pod", pod, "--force", "--grace-period=0")
        operator.rolled_out()
        load.more()


def test_each_node_can_be_drained_without_an_interruption(operator: Operator, load: Load) -> None:
    if len(nodes()) < 2:
        pytest.skip("the cluster has one node")
    with load:
        for node in nodes():
            load.more()
            try:
                ours = f"app.kubernetes.io/instance={RELEASE}"
                run(
                    "kubectl",
                    "drain",
                    node,
                    "--pod-selector",
                    ours,
                    "--delete-emptydir-data",
                    "--timeout=5m",
                )
                operator.rolled_out()
                load.more()
            finally:
                run("kubectl", "uncordon", node)
    assert load.failures == []


def test_an_upgrade_with_broken_definitions_is_refused_before_anything_changes(
    operator: Operator, load: Load
) -> None:
    pods = operator.pods()
    operator.values["webhooks"] = load.definitions(SECRET).replace(
        "platform: slack", "platform: slakc"
    )
    changed(operator, "21d")
    with load:
        with pytest.raises(Refused) as refusal:
            operator.install()
        assert "webhooks.yaml:3: " in str(refusal.value), "helm's own words name file and line"
        assert "webhooks.yaml:3: " in operator.kubectl("logs", f"job/{NAME}-check")
        load.more()
    assert operator.pods("relay", "worker", "admin") == pods
    assert load.failures == []


def test_a_secret_is_rotated_without_a_restart_or_a_refusal(operator: Operator, load: Load) -> None:
    pods = operator.pods()
    old, new = SECRET, SECRET.replace("}", "_NEW}")
    changed_secret = "a-new-secret-of-slack-0123456789"
    with load:
        operator.secret(
            "webhook-secrets",
            SLACK_SIGNING_SECRET=SLACK_SECRET,
            SLACK_SIGNING_SECRET_NEW=changed_secret,
        )
        operator.values["webhooks"] = load.definitions(f"[{old!r}, {new!r}]")
        operator.install()
        wait_for(
            lambda: load.is_known(changed_secret), "every relay knows the new secret", timeout=180
        )
        load.secret = changed_secret
        load.more()
    assert load.failures == []
    load.secret = SLACK_SECRET
    assert operator.pods() == pods


def test_the_databases_ports_are_those_of_the_url_in_its_secret(
    operator: Operator, load: Load
) -> None:
    ports = {
        "one": [5432],
        "one:6432": [6432],
        "one:6432,two": [6432, 5432],
        "[fd00::1],[fd00::2]:6432": [5432, 6432],
        "/bridge?host=one,two&port=6432,6433": [6432, 6433],
    }
    operator.values["database"] = {"existingSecret": "elsewhere", "urlKey": None}
    for hosts, expected in ports.items():
        operator.secret("elsewhere", url=f"postgresql://bridge:p%40ss@{hosts}/bridge\n")
        rendered = operator.install(CHART, "--dry-run=server")
        # Of relay, worker and admin process.
        assert [rendered.count(f"port: {port}\n") for port in (5432, 6432, 6433)] == [
            3 if port in expected else 0 for port in (5432, 6432, 6433)
        ], hosts


def test_network_policies_let_through_what_is_needed_and_nothing_else(
    operator: Operator, load: Load
) -> None:
    pod = {name: f"deployment/{NAME}-{name}" for name in ("relay", "worker", "admin")}
    database, conductor = operator.database, urlsplit(operator.values["conductor"]["url"])
    relay, admin = (f"{NAME}-relay", 8000), (f"{NAME}-admin", 8090)
    database_at, conductor_at = (
        (database.hostname, database.port),
        (conductor.hostname, conductor.port),
    )
    operator.make_stranger()
    allowed = [
        *((name, database_at) for name in pod.values()),
        (pod["worker"], conductor_at),
        (pod["admin"], relay),
        ("stranger", relay),
    ]
    forbidden = [
        (pod["relay"], conductor_at),
        (pod["admin"], conductor_at),
        (pod["relay"], ("kubernetes.default", 443)),
        (pod["worker"], relay),
        ("stranger", admin),
        ("stranger", (relay[0], 9108)),
    ]
    assert [way for way in allowed if not operator.reaches(way[0], *way[1])] == []
    assert [way for way in forbidden if operator.reaches(way[0], *way[1])] == []
    # Only who is named, and those that the chart itself has.
    operator.values["networkPolicy"] = {
        "ingressFrom": [{"podSelector": {"matchLabels": {"role": "proxy"}}}]
    }
    operator.install()
    wait_for(lambda: not operator.reaches("stranger", *relay), "the new policy is in force")
    operator.helm("test")
    assert operator.reaches(pod["admin"], *relay)
    operator.kubectl("label", "pod", "stranger", "role=proxy")
    wait_for(lambda: operator.reaches("stranger", *relay), "the named pod is let through")


def test_while_the_database_is_away_no_relay_is_ready_and_nothing_is_lost(
    operator: Operator, load: Load, postgres: Postgres
) -> None:
    if postgres.given:
        pytest.skip("the database isn't ours to kill")
    with load:
        load.more()
        postgres.kill()
        wait_for(lambda: operator.replicas("relay") == 0, "no relay is ready")
        assert any("503" in reason for reason in load.failures), "first they say so"
        postgres.start()
        wait_for(lambda: operator.replicas("relay") == 2, "the relays are ready again")
        load.more()


def test_a_backup_is_restored_into_a_new_database(
    operator: Operator, load: Load, postgres: Postgres, tmp_path: Path
) -> None:
    """As docs/kubernetes.md says it, word for word."""
    with load:
        load.more()
    events = operator.events()
    assert events
    programs, _ = find_programs()
    old, new, dump = (
        operator.database.geturl(),
        postgres.new_database("restored"),
        str(tmp_path / "bridge.dump"),
    )
    run(str(programs / "pg_dump"), "--format=custom", f"--file={dump}", old)
    deployments = [f"deployment/{NAME}-{name}" for name in ("relay", "worker", "admin")]
    operator.kubectl("scale", *deployments, "--replicas=0")
    wait_for(lambda: operator.pods() == [], "the bridge is stopped")
    run(str(programs / "pg_restore"), "--no-owner", f"--dbname={new}", dump)
    operator.secret("database", url=new)
    operator.kubectl("scale", deployments[2], "--replicas=1")
    operator.rolled_out()
    assert operator.events() == events
    operator.kubectl("scale", *deployments[:2], "--replicas=2")
    operator.rolled_out()
    with load:
        load.more()
    # What kubectl has scaled, Helm may change again.
    changed(operator, "23d")
    operator.install()


def test_the_release_is_uninstalled_and_a_new_one_goes_on_with_its_database(
    operator: Operator, load: Load
) -> None:
    with load:
        load.more()
    events = operator.events()
    assert events
    operator.helm("test")
    operator.uninstall()
    kinds = "all,configmap,serviceaccount,networkpolicy,poddisruptionbudget,ingress"
    assert operator.names(kinds) == []
    operator.install()
    assert operator.events() == events
    with load:
        load.more()
