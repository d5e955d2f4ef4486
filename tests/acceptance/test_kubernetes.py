"""What the Helm chart renders, started as processes, plays the Slack example on a real Conductor server."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from store.open import open_store
from testkit import PATIENCE, sample
from testkit.client import Conductor, RequestFailed, http, outputs, wait_for, wait_for_webhook
from testkit.postgres import Postgres
from testkit.processes import Failed
from tests.acceptance.bridge import accepted, unique
from tests.deploy.chart import NAME
from tests.deploy.kubelet import Pod
from tests.deploy.release import SECRETS, Release, post, url_of


def play(conductor: Conductor, relays: list[Pod]) -> None:
    """The README's example: a challenge verifies, a message resumes the workflow that waits. Any relay takes either."""
    sample.register(conductor)
    answer = post(relays[0], sample.challenge("3eZbrw1aBm2rZgRNFdxV"))
    assert (answer.status, answer.json) == (200, {"challenge": "3eZbrw1aBm2rZgRNFdxV"})
    workflow_id = conductor.start(sample.WORKFLOW)
    conductor.wait_for_task(workflow_id, sample.TASK)
    body = sample.message("Hello from Kubernetes")
    accepted(post(relays[-1], body))
    [output] = outputs(conductor.wait_for_status(workflow_id), sample.TASK)
    assert output["event"] == json.loads(body)["event"]


@pytest.fixture
def sqlite(conductor_url: str, tmp_path: Path) -> Iterator[Release]:
    """With one volume."""
    with Release("sqlite", conductor_url, tmp_path, SECRETS) as release:
        yield release


@pytest.mark.long  # tests/deploy/test_pods.py starts this pod too
def test_one_pod_with_sqlite_plays_the_slack_example(sqlite: Release, conductor: Conductor) -> None:
    pod = sqlite.start("bridge").wait_until_ready()
    play(conductor, [pod])
    # A pod that goes and another that comes find the same events, on the same volume.
    pod.stop()
    again = sqlite.start("bridge", 1).wait_until_ready()
    play(conductor, [again])


@pytest.mark.long  # tests/config/test_watch.py writes volumes as the kubelet does
def test_a_change_of_the_config_map_is_read_by_pods_that_run(sqlite: Release, conductor: Conductor) -> None:
    pod = sqlite.start("bridge").wait_until_ready()
    body = sample.message("Hello")
    assert http("POST", f"{url_of(pod)}/webhook/second", body, {}).status == 404
    name = unique("kubernetes_second")
    definitions = f"webhooks:\n  - {{name: second, headers: {{X-Key: 0123456789abcdef}}, receivers: {{{name}: any}}}}\n"
    pod.cluster.config_maps[f"{NAME}-webhooks"] = {"webhooks.yaml": definitions}
    pod.mount()
    conductor.register(name, [wait_for_webhook("wait")])
    workflow_id = conductor.start(name)
    conductor.wait_for_task(workflow_id, "wait")
    headers = {"X-Key": "0123456789abcdef", "Content-Type": "application/json"}
    # Each process of the relay reads it for itself, so only the delivery's own answer tells.
    wait_for(lambda: http("POST", f"{url_of(pod)}/webhook/second", body, headers).status == 200, "the relay reads it")
    conductor.wait_for_status(workflow_id)


# --- PostgreSQL


@pytest.fixture
def postgresql(conductor_url: str, postgres: Postgres, tmp_path: Path) -> Iterator[Release]:
    """With an empty database of its own."""
    url = postgres.new_database()
    secrets = SECRETS | {"bridge-database": {"url": url, "password": urlsplit(url).password or "unused"}}
    with Release("postgresql", conductor_url, tmp_path, secrets) as release:
        yield release
    postgres.drop_database(url)


def by_host(release: Release) -> list[str]:
    """The values that name the database by its host, and only the password by the Secret."""
    url = urlsplit(release.secrets["bridge-database"]["url"])
    return [
        f"database.host={url.hostname}",
        f"database.port={url.port}",
        f"database.name={url.path[1:]}",
        f"database.user={url.username}",
    ]


def test_pods_with_postgresql_that_start_at_once_play_the_slack_example(
    postgresql: Release, conductor: Conductor
) -> None:
    """On an empty database: one of them makes the tables, the others wait for it."""
    host = by_host(postgresql)
    started = [
        postgresql.start("relay", 0),
        postgresql.start("relay", 1, *host),
        postgresql.start("worker", 0),
        postgresql.start("worker", 1, *host),
        postgresql.start("admin"),
    ]
    first, second, *_ = [pod.wait_until_ready() for pod in started]
    play(conductor, [first, second])
    postgresql.pods["worker-0"].stop()
    play(conductor, [second, first])
    # Either relay knows what the other one has taken.
    body = sample.message("Once")
    event_id = accepted(post(first, body))
    assert post(second, body).json == {"eventId": event_id, "duplicate": True}


class Service:
    """Posts to the pods that it knows of, one after the other, as a Service spreads connections."""

    def __init__(self) -> None:
        self._pods: list[Pod] = []
        self._lock = threading.Condition()
        self._busy: list[Pod] = []
        self._turn = 0
        self._stopping = False
        self.accepted: list[str] = []
        self.failures: list[str] = []
        self._threads = [threading.Thread(target=self._post_all) for _ in range(4)]

    def add(self, pod: Pod) -> None:
        """The pod is ready."""
        with self._lock:
            self._pods.append(pod)

    def remove(self, pod: Pod) -> None:
        """The pod gets nothing new; returns once what it was sent is answered."""
        with self._lock:
            self._pods.remove(pod)
            self._lock.wait_for(lambda: pod not in self._busy, timeout=PATIENCE)

    def __enter__(self) -> Service:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopping = True
        for thread in self._threads:
            thread.join()

    def _post_all(self) -> None:
        while not self._stopping:
            with self._lock:
                self._turn += 1
                pod = self._pods[self._turn % len(self._pods)]
                self._busy.append(pod)
            try:
                answer = post(pod, sample.message(uuid.uuid4().hex))
                if answer.status == 200:
                    self.accepted.append(answer.json["eventId"])
                else:
                    self.failures.append(f"{answer.status}: {answer.text}")
            except RequestFailed as error:
                self.failures.append(str(error))
            finally:
                with self._lock:
                    self._busy.remove(pod)
                    self._lock.notify_all()
            time.sleep(0.05)  # the pods that start need the processor too


@pytest.mark.slow(25)
@pytest.mark.long
def test_a_rolling_update_loses_no_delivery(postgresql: Release) -> None:
    """A new pod is ready before an old one goes, and an old one takes deliveries until nobody sends it any."""
    old = [postgresql.start("relay", 0), postgresql.start("relay", 1)]
    service = Service()
    for pod in old:
        service.add(pod.wait_until_ready())
    with service:
        for number, pod in enumerate(old):
            service.add(postgresql.start("relay", 2 + number).wait_until_ready())
            before = len(service.accepted)

            def goes(pod: Pod = pod, before: int = before) -> None:
                # It has been told to end, and not everybody knows yet.
                assert post(pod, sample.message("late")).status == 200
                wait_for(lambda: len(service.accepted) > before, "deliveries go on meanwhile")
                service.remove(pod)

            pod.stop(meanwhile=goes)
    assert service.failures == []
    store = open_store(postgresql.secrets["bridge-database"]["url"], migrate=False)
    try:
        assert [event_id for event_id in service.accepted if store.queries.event(event_id) is None] == []
    finally:
        store.close()
    assert service.accepted


@pytest.mark.long
def test_old_pods_go_on_beside_a_newer_schema_and_are_not_started_on_it(
    postgresql: Release, conductor: Conductor
) -> None:
    """As in a roll-out: the first new pod migrates while the old ones work."""
    started = [postgresql.start("relay"), postgresql.start("worker")]
    relay, _ = [pod.wait_until_ready() for pod in started]
    url = postgresql.secrets["bridge-database"]["url"]
    with psycopg.connect(url) as connection:
        connection.execute("ALTER TABLE webhook_bridge.events ADD COLUMN of_the_next_version TEXT")
        connection.execute("UPDATE webhook_bridge.schema_version SET version = version + 1")
    play(conductor, [relay])
    with pytest.raises(Failed, match="created by a newer version of the bridge"):
        postgresql.start("worker", 1).wait_until_ready()
