"""A Conductor and a PostgreSQL on this machine, which the cluster's pods reach at its address, and
a release there."""

from __future__ import annotations

import json
import os
import socket
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster.load import SLACK_SECRET, Load
from tests.cluster.operator import IMAGE, Operator, first_address, run
from tests.support.chart import helm_path
from tools.servers.client import Conductor
from tools.servers.conductor import ConductorServer
from tools.servers.postgres import Postgres
from tools.servers.processes import stop_all_on_exit

TOKEN = "token-of-the-page"


@pytest.fixture(scope="session")
def machine() -> str:
    """This machine's address as the cluster's nodes know it. Skips the test where no cluster is
    meant."""
    if not (os.environ.get("KUBECONFIG") and os.environ.get(IMAGE)):
        pytest.skip(
            f"no cluster: set KUBECONFIG, and {IMAGE} to an image that its nodes have or can pull"
        )
    if helm_path() is None:
        pytest.skip("helm is not installed; .ci/run builds it where Go is")
    stop_all_on_exit()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((first_address(), 9))  # sends nothing; the kernel chooses the address
        return str(probe.getsockname()[0])


@pytest.fixture(scope="session")
def conductor_url(machine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The API that pods call: of a server of our own, or of the one that TEST_CONDUCTOR_SERVER_URL
    names."""
    given = os.environ.get("TEST_CONDUCTOR_SERVER_URL")
    if given:
        yield given
        return
    server = ConductorServer(tmp_path_factory.mktemp("conductor"), say=lambda text: None)
    server.start()
    yield f"http://{machine}:{server.port}/api"
    server.stop()


@pytest.fixture(scope="session")
def postgres(machine: str) -> Iterator[Postgres]:
    """A server that pods reach, at a port other than 5432."""
    server = Postgres(host=machine).start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def volumes(machine: str) -> None:
    """Skips the test where a claim gets no volume."""
    classes = json.loads(run("kubectl", "get", "storageclass", "-o", "json"))["items"]
    default = "storageclass.kubernetes.io/is-default-class"
    if not any(each["metadata"].get("annotations", {}).get(default) == "true" for each in classes):
        pytest.skip("the cluster has no default StorageClass")


@pytest.fixture(scope="module")
def new_operator(
    conductor_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Operator]]:
    """Makes an operator with a namespace, and with what every release needs but a database;
    `values` are added."""
    made: list[Operator] = []

    def make(**values: Any) -> Operator:
        common = {
            "secretEnv": ["webhook-secrets"],
            "conductor": {"url": conductor_url},
            "admin": {"existingSecret": "bridge-admin"},
            "settings": {"BRIDGE_POLL_INTERVAL": "250ms"},
        }
        operator = Operator(
            f"hooks-{uuid.uuid4().hex[:6]}", tmp_path_factory.mktemp("values"), common | values
        )
        made.append(operator)
        operator.secret("webhook-secrets", SLACK_SIGNING_SECRET=SLACK_SECRET)
        operator.secret("bridge-admin", BRIDGE_ADMIN_TOKEN=TOKEN)
        return operator

    yield make
    for operator in made:
        operator.remove()


@pytest.fixture(scope="module")
def new_load(conductor_url: str) -> Callable[[str], Load]:
    """Makes deliveries to an address, signed with Slack's secret."""
    return lambda url: Load(url, Conductor(conductor_url), SLACK_SECRET)
