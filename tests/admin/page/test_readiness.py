"""Whether the page is ready."""

from __future__ import annotations

import socket
from pathlib import Path

from flask.testing import FlaskClient

from admin.page.app import create_app
from config.settings import Settings
from tests.support.sample import Sample


def client_of(sample: Sample, **changed: object) -> FlaskClient:
    return create_app(sample.settings.model_copy(update=changed)).test_client()


def test_with_a_store_and_definitions_it_is_ready(sample: Sample) -> None:
    answer = client_of(sample).get("/readyz")
    assert (answer.status_code, answer.json) == (200, {"status": "ok"})


def test_a_store_that_cannot_be_used_is_named(sample: Sample, tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder should be", encoding="utf-8")
    answer = client_of(sample, bridge_database=f"sqlite:///{blocked}/bridge.db").get("/readyz")
    assert answer.status_code == 503
    assert answer.json is not None
    assert answer.json["problems"][0].startswith("the store can't be used: ")


def test_definitions_of_which_nothing_can_be_read_are_named_but_not_shown(
    sample: Sample, tmp_path: Path
) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text("webhooks: [{secret: a-secret-value", encoding="utf-8")
    answer = client_of(sample, bridge_webhooks=file).get("/readyz")
    assert answer.status_code == 503
    assert answer.json == {
        "status": "unavailable",
        "problems": ["the definitions can't be read; webhook-bridge check says why"],
    }


def test_definitions_with_an_error_leave_it_ready(sample: Sample, tmp_path: Path) -> None:
    """The page is where people see the error."""
    text = sample.settings.bridge_webhooks.read_text(encoding="utf-8")
    file = tmp_path / "webhooks.yaml"
    file.write_text(text + "  - name: orders\n", encoding="utf-8")
    assert client_of(sample, bridge_webhooks=file).get("/readyz").status_code == 200


def test_a_database_that_never_answers_is_a_503_without_its_password(sample: Sample) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://bridge:a-password@127.0.0.1:{silent.getsockname()[1]}/bridge"
        answer = client_of(sample, bridge_database=url).get("/readyz")
    assert answer.status_code == 503
    assert "not answered" in answer.text or "can't be reached" in answer.text, (
        "whichever time is over first"
    )
    assert "a-password" not in answer.text


def test_everybody_may_ask_also_while_nobody_can_log_in(sample: Sample, tmp_path: Path) -> None:
    settings = Settings(
        bridge_database=f"sqlite:///{tmp_path}/none/bridge.db",
        bridge_webhooks=sample.settings.bridge_webhooks,
        bridge_admin_token="the-token-of-the-admin-page",
    )
    client = create_app(settings).test_client()
    assert client.get("/readyz", base_url="http://admin.example.com").status_code == 200
    assert client.get("/", base_url="http://admin.example.com").status_code == 302
