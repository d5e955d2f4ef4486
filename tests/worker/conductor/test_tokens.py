"""Calls of a Conductor that has keys and tokens, against a stand-in on this machine."""

from __future__ import annotations

import threading
import time
from base64 import b64decode

import pytest

from tests.support.stand_in import Answer, Request, StandIn
from worker.conductor.client import Conductor
from worker.conductor.errors import NotNow
from worker.conductor.server import Server


def test_with_keys_every_call_carries_a_token_that_was_asked_for_once(server: StandIn) -> None:
    conductor = Conductor(Server(server.url, "key", "secret"), 30)
    server.answers = [
        lambda asked: Answer({"token": "the token"}) if asked.path == "/api/token" else Answer([])
    ]
    conductor.poll("me")
    thread = threading.Thread(target=conductor.poll, args=("me",))
    thread.start()
    thread.join()
    asked = [request for request in server.requests if request.path == "/api/token"]
    assert [request.body for request in asked] == [{"keyId": "key", "keySecret": "secret"}]
    polls = [request for request in server.requests if request.path != "/api/token"]
    assert [request.headers["x-authorization"] for request in polls] == ["the token"] * 2


def test_a_token_that_cannot_be_had_is_asked_for_again(server: StandIn) -> None:
    conductor = Conductor(Server(server.url, "key", "secret"), 30)
    server.answers = [Answer("", 503)]
    for _ in range(7):
        with pytest.raises(NotNow, match="CONDUCTOR_AUTH_KEY"):
            conductor.poll("me")
    server.answers = [
        lambda asked: Answer({"token": "late"}) if asked.path == "/api/token" else Answer([])
    ]
    conductor.poll("me")
    assert server.last.headers["x-authorization"] == "late"


def test_a_server_without_tokens_is_called_without(server: StandIn) -> None:
    conductor = Conductor(Server(server.url, "key", "secret"), 30)
    missing = Answer({"status": 404, "message": "No static resource api/token."}, 404)
    server.answers = [lambda asked: missing if asked.path == "/api/token" else Answer([])]
    for _ in range(3):
        assert conductor.poll("me") == []
    assert [request.path for request in server.requests].count("/api/token") == 1


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("me:hidden", "me:hidden"),
        ("me:p%40%2F%C3%A9", "me:p@/é"),
        ("m%3Ae:p:q", "m:e:p:q"),
        ("me", "me:"),
    ],
)
def test_a_user_and_a_password_of_the_url_go_with_every_call(
    server: StandIn, written: str, meant: str
) -> None:
    url = server.url.replace("://", f"://{written}@")
    server.answers = [
        lambda asked: Answer({"token": "the token"}) if asked.path == "/api/token" else Answer([])
    ]
    for keys in ((), ("key", "secret")):
        Conductor(Server(url, *keys), 30).poll("me")
    sent = [request.headers["authorization"].partition(" ") for request in server.requests]
    assert len(sent) == 3, "two polls, and a token"
    assert {(scheme, b64decode(text).decode()) for scheme, _, text in sent} == {("Basic", meant)}


def test_a_renewal_that_fails_leaves_one_call_without_a_token(
    server: StandIn, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Not all calls from then on, as by the client alone; and its own log lines stay out of ours."""
    conductor = Conductor(Server(server.url, "key", "secret"), 30)
    tokens = iter([Answer({"token": "old"}), Answer("", 503), Answer({"token": "new"})])
    server.answers = [lambda asked: next(tokens) if asked.path == "/api/token" else Answer([])]
    conductor.poll("me")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3600)
    conductor.poll("me")
    conductor.poll("me")
    polls = [request for request in server.requests if request.path != "/api/token"]
    assert [request.headers.get("x-authorization") for request in polls] == ["old", None, "new"]
    assert caplog.records == []


def test_only_keys_of_the_settings_count(server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client reads the environment, too."""
    monkeypatch.setenv("CONDUCTOR_AUTH_KEY", "key")
    monkeypatch.setenv("CONDUCTOR_AUTH_SECRET", "secret")
    server.answers = [Answer({"error": "EXPIRED_TOKEN", "message": "expired"}, 401)]
    with pytest.raises(NotNow):
        Conductor(Server(f"{server.url}/"), 30).poll("me")
    assert [request.path for request in server.requests] == [
        "/api/tasks/poll/batch/WAIT_FOR_WEBHOOK"
    ]


def test_an_expired_token_is_renewed_and_the_call_made_once_more(server: StandIn) -> None:
    conductor = Conductor(Server(server.url, "key", "secret"), 30)
    tokens = iter(["old", "new"])

    def answer(asked: Request) -> Answer:
        if asked.path == "/api/token":
            return Answer({"token": next(tokens)})
        if asked.headers["x-authorization"] == "old":
            return Answer({"error": "EXPIRED_TOKEN", "message": "expired"}, 401)
        return Answer("w1", kind="text/plain")

    server.answers = [answer]
    assert conductor.start("flow", None, "{}", "event") == "w1"
    assert [request.path for request in server.requests] == ["/api/token", "/api/workflow"] * 2


def test_a_key_that_is_withdrawn_is_asked_for_a_token_once_for_each_call(server: StandIn) -> None:
    """The client by itself would ask without end."""
    conductor = Conductor(Server(server.url, "key", "secret"), 30)
    first = [Answer({"token": "old"})]
    refused = Answer({"error": "INVALID_TOKEN", "message": "no such key"}, 401)
    server.answers = [
        lambda asked: first.pop() if asked.path == "/api/token" and first else refused
    ]
    with pytest.raises(NotNow):
        conductor.poll("me")
    assert [request.path for request in server.requests].count("/api/token") == 2
