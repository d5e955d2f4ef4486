"""An upgrade from the chart and image before this one, its migration included."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.load import Load
from tests.cluster.operator import Operator, image_values
from tools.servers.postgres import Postgres

pytestmark = pytest.mark.cluster
CHART, IMAGE = "TEST_CLUSTER_PREVIOUS_CHART", "TEST_CLUSTER_PREVIOUS_IMAGE"


def upgrade(operator: Operator, new_load: Callable[[str], Load], component: str) -> Load:
    """Installs the previous version, and upgrades it while deliveries come in."""
    if not (os.environ.get(CHART) and os.environ.get(IMAGE)):
        pytest.skip(f"nothing to upgrade from: set {CHART} to its folder, and {IMAGE}")
    load = new_load(operator.open_entry(component))
    operator.values["webhooks"] = load.definitions("${SLACK_SIGNING_SECRET}")
    today = operator.values["image"]
    operator.values["image"] = image_values(os.environ[IMAGE])
    operator.install(Path(os.environ[CHART]))
    with load:
        load.more()
        before = operator.events()
        operator.values["image"] = today
        operator.install()
        operator.rolled_out()
        load.more()
    assert before
    assert operator.events() > before
    return load


def test_on_postgresql_old_and_new_pods_share_the_database_meanwhile(
    new_operator: Callable[..., Operator], new_load: Callable[[str], Load], postgres: Postgres
) -> None:
    database: dict[str, Any] = {"existingSecret": "database"}
    operator = new_operator(database=database, networkPolicy={"databasePorts": [postgres.port]})
    operator.secret("database", url=postgres.new_database("previous"))
    assert upgrade(operator, new_load, "relay").failures == []


def test_on_sqlite_the_volume_is_taken_over(
    new_operator: Callable[..., Operator], new_load: Callable[[str], Load], volumes: None
) -> None:
    upgrade(new_operator(database={"sqlite": {"enabled": True, "size": "1Gi"}}), new_load, "bridge")
