"""What the chart renders runs as processes: every probe answers, and a signed delivery goes through."""

from __future__ import annotations

from pathlib import Path

from testkit.client import http, wait_for
from tests.deploy.release import SECRETS, Release, url_of

NOBODY = "http://127.0.0.1:1/api"
"""The worker waits for Conductor, and is alive and ready."""


def test_every_process_of_the_single_pod_is_ready_takes_what_helm_test_posts_and_ends_in_order(tmp_path: Path) -> None:
    with Release("sqlite", NOBODY, tmp_path, SECRETS) as release:
        pod = release.start("bridge").wait_until_ready()
        assert set(pod.containers) == {"relay", "worker", "admin"}
        assert [path.name for path in (tmp_path / "claims").glob("*/bridge.db")] == ["bridge.db"]
        page = f"http://127.0.0.1:{pod.containers['admin'].port('admin')}"
        assert http("GET", f"{page}/api/webhooks").status == 401
        token = {"Authorization": "Bearer token-of-the-page"}
        assert [row["name"] for row in http("GET", f"{page}/api/webhooks", headers=token).json] == ["slack"]

        tested = release.send(pod)
        assert tested.returncode == 0, tested.stdout + tested.stderr
        assert tested.stdout.splitlines()[0] == "200 OK"
        assert "helm-test" in tested.stdout
        assert http("GET", f"{url_of(pod)}/metrics").status == 404, "metrics have a port of their own"
        metrics = f"http://127.0.0.1:{pod.containers['relay'].port('relay-metrics')}/metrics"
        wait_for(lambda: 'outcome="challenge"' in http("GET", metrics).text, "the relay's processes have counted it")
        pod.stop()
