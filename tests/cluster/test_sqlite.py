"""What an operator does to a release on SQLite: its gaps lose nothing, and its volume outlives it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.cluster.load import Load
from tests.cluster.operator import Operator
from tests.support.chart import NAME

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def operator(new_operator: Callable[..., Operator], volumes: None) -> Operator:
    """With a volume of the cluster's default class."""
    return new_operator(database={"sqlite": {"enabled": True, "size": "1Gi"}})


@pytest.fixture(scope="module")
def load(operator: Operator, new_load: Callable[[str], Load]) -> Load:
    """On the release, which is installed."""
    load = new_load(operator.open_entry("bridge"))
    operator.values["webhooks"] = load.definitions("${SLACK_SIGNING_SECRET}")
    operator.install()
    return load


def test_helm_test_sends_a_delivery_and_leaves_no_pod(operator: Operator, load: Load) -> None:
    operator.helm("test")
    assert operator.pods("test", "check") == []


def test_an_upgrade_is_a_gap_that_loses_nothing(operator: Operator, load: Load) -> None:
    with load:
        load.more()
        operator.values["settings"] = operator.values["settings"] | {"BRIDGE_RETENTION": "20d"}
        operator.install()
        load.more()


def test_a_pod_that_is_killed_loses_nothing(operator: Operator, load: Load) -> None:
    with load:
        load.more()
        operator.kubectl("delete", "pod", *operator.pods(), "--force", "--grace-period=0")
        operator.rolled_out()
        load.more()


def test_a_backup_made_while_it_runs_has_every_event_accepted_before(
    operator: Operator, load: Load, tmp_path: Path
) -> None:
    """As docs/kubernetes.md says it."""
    with load:
        load.more()
        before = operator.events()
        operator.in_admin("webhook-bridge", "backup", "/data/backup.db")
    [pod] = operator.pods("bridge")
    file = tmp_path / "backup.db"
    operator.kubectl("cp", "-c", "admin", f"{operator.namespace}/{pod}:/data/backup.db", str(file))
    with closing(sqlite3.connect(file)) as database:
        assert {event_id for (event_id,) in database.execute("SELECT id FROM events")} >= before
    assert before


def test_the_volume_outlives_the_release_and_a_new_one_takes_it_up(
    operator: Operator, load: Load
) -> None:
    with load:
        load.more()
    events = operator.events()
    assert events
    operator.uninstall()
    assert operator.names("all,configmap,serviceaccount,networkpolicy") == []
    assert operator.names("persistentvolumeclaim") == [f"{NAME}-data"]
    operator.install()
    assert operator.events() == events
    with load:
        load.more()
    assert operator.events() > events
