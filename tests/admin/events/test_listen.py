"""Listening: in order, with patience, and nothing that a public bridge answers has an effect but
posts to one URL."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from threading import Event
from typing import Any

import pytest

from admin.events import listen as listening
from admin.events.listen import CantListen, Delivery, LocalBridge, Posted, PublicBridge
from admin.events.send import Answer
from config.urls import is_loopback
from relay.receiver import NOT_FOUND
from tests.admin.conftest import Cli
from tests.support.sample import Sample
from tools.servers.http_server import Handler, HttpServer


@dataclass
class Server:
    """Gives the answers that it is told to, the last one again and again, and keeps what it is
    asked."""

    port: int = 0
    answers: list[tuple[int, bytes]] = field(default_factory=list)
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def serving() -> Iterator[Server]:
    server = Server()

    class Answering(Handler):
        def do_GET(self) -> None:
            server.asked.append((self.command, self.path, self.lower_headers, self.read_body()))
            status, answer = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
            self.say(status, answer, {"Location": "/elsewhere"})

        do_POST = do_PUT = do_GET

    with HttpServer(Answering) as http:
        server.port = http.server_port
        yield server


@pytest.fixture
def public() -> Iterator[Server]:
    yield from serving()


@pytest.fixture
def local() -> Iterator[Server]:
    for server in serving():
        server.answers = [(200, b'{"eventId": "e"}')]
        yield server


def delivery(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": number,
        "eventId": f"event-{number}",
        "receivedAt": "2026-01-31T12:00:00.000Z",
        "method": "POST",
        "query": "",
        "headers": {"content-type": "application/json"},
        "body": base64.b64encode(b'{"n": %d}' % number).decode(),
        **more,
    }


def page(*deliveries: dict[str, Any], last: int | None = None) -> tuple[int, bytes]:
    after = deliveries[-1]["id"] if last is None else last
    return 200, json.dumps({"webhook": "w", "next": after, "deliveries": deliveries}).encode()


def post_all(
    public: Server, local: Server, number: int, said: list[str] | None = None
) -> list[Posted]:
    found = listening.listen(
        PublicBridge(public.url, "w", "a-token"),
        LocalBridge(f"{local.url}/webhook/w"),
        None,
        (said if said is not None else []).append,
        lambda seconds: None,
    )
    return [*islice(found, number)]


def test_deliveries_are_posted_as_they_came_in_their_order(public: Server, local: Server) -> None:
    headers = {
        "x-hub-signature-256": "v1=\xfc",
        "host": "hooks.example.com",
        "transfer-encoding": "chunked",
    }
    headers |= {
        "x-forwarded-for": "203.0.113.9",
        "connection": "close",
        "content-length": "999",
        "user-agent": "G/1",
    }
    public.answers = [
        page(last=6),
        page(delivery(7, headers=headers, query="a=%20&b=\xfc", method="PUT"), delivery(9)),
        page(last=9),
        page(delivery(12)),
    ]
    found = post_all(public, local, 3)
    assert [one.delivery.event_id for one in found] == ["event-7", "event-9", "event-12"]
    method, path, sent, body = local.asked[0]
    assert (method, path, body) == ("PUT", "/webhook/w?a=%20&b=%FC", b'{"n": 7}')
    assert sent["x-hub-signature-256"] == "v1=\xfc"
    assert sent["user-agent"] == "G/1"
    assert sent["host"] == f"127.0.0.1:{local.port}"
    assert sent["content-length"] == "8"
    assert not {"transfer-encoding", "x-forwarded-for"} & sent.keys()
    assert [asked[1].partition("?")[2] for asked in public.asked] == [
        "",
        "after=6",
        "after=9",
        "after=9",
    ]
    assert {asked[2]["authorization"] for asked in public.asked} == {"Bearer a-token"}
    assert "authorization" not in sent, "the token is the public bridge's alone"


def test_no_answer_is_asked_for_or_unpacked_compressed(public: Server, local: Server) -> None:
    public.answers = [page(delivery(1, headers={"accept-encoding": "gzip"}))]
    post_all(public, local, 1)
    assert "gzip" not in local.asked[0][2].get("accept-encoding", "")


def test_a_delivery_is_posted_again_until_the_local_bridge_is_back(
    public: Server, local: Server
) -> None:
    public.answers = [page(delivery(1), delivery(2)), page(last=2)]
    local.answers = [(503, b""), (503, b""), (404, b""), (429, b""), (200, b"{}"), (200, b"{}")]
    said: list[str] = []
    assert [one.answer.status for one in post_all(public, local, 2, said)] == [200, 200]
    assert [body for *_, body in local.asked] == [b'{"n": 1}'] * 5 + [b'{"n": 2}']
    assert len(said) == 4, "each reason once, and that it is back"
    assert said[0].startswith("The local bridge is down, trying again: it answers 503")
    assert said[-1] == "The local bridge is back."


def test_a_refusal_is_an_answer_and_the_next_delivery_follows(
    public: Server, local: Server
) -> None:
    public.answers = [page(delivery(1), delivery(2)), page(last=2)]
    local.answers = [(401, b"{}"), (302, b"{}")]
    assert [one.answer.status for one in post_all(public, local, 2)] == [401, 302]
    assert [path for _, path, *_ in local.asked] == ["/webhook/w"] * 2, "no redirect is followed"


def test_a_public_bridge_that_is_away_is_asked_again_from_the_same_place(
    public: Server, local: Server
) -> None:
    public.answers = [page(delivery(1)), (503, b""), (502, b"<html>"), page(delivery(2))]
    assert [one.delivery.id for one in post_all(public, local, 2)] == [1, 2]
    assert [asked[1].partition("?")[2] for asked in public.asked] == [
        "",
        "after=1",
        "after=1",
        "after=1",
    ]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            (401, b'{"error": "unauthorized", "message": "use a token"}'),
            "401 Unauthorized: use a token",
        ),
        ((404, b"<html>"), "is this the address of an admin page"),
        ((404, NOT_FOUND.body), "A relay has a different one"),
        ((302, b""), "302"),
        ((200, b"<html>"), "isn't a bridge's"),
        ((200, b'{"next": -1, "deliveries": []}'), "isn't a bridge's"),
        (page(delivery(2), delivery(1)), "out of order"),
        (page(delivery(1), delivery(1)), "out of order"),
        (page(delivery(1), last=7), "out of order"),
        (page(delivery(1, method="CONNECT")), "isn't a bridge's"),
        (page(delivery(1, method="POST / HTTP/1.1\r\nX: y")), "isn't a bridge's"),
        (page(delivery(1, query="a b")), "isn't a bridge's"),
        (page(delivery(1, query="a\r\nX-Evil: 1")), "isn't a bridge's"),
        (page(delivery(1, headers={"x": "a\r\nX-Evil: 1"})), "isn't a bridge's"),
        (page(delivery(1, headers={"x:\r\ny": "a"})), "isn't a bridge's"),
        (page(delivery(1, headers={"x": "\u20ac"})), "isn't a bridge's"),
        (page(delivery(1, headers=["x"])), "isn't a bridge's"),
        (page(delivery(1, body="%%%")), "isn't a bridge's"),
        (page(delivery(1, body=7)), "isn't a bridge's"),
        (page(delivery(1, eventId="$(touch owned)")), "isn't a bridge's"),
        (page(delivery(1, eventId="e; rm -rf ~")), "isn't a bridge's"),
        (page(delivery(1, eventId="e\n")), "isn't a bridge's"),
        (
            page(delivery(1, headers={f"x-{number}": "" for number in range(1001)})),
            "isn't a bridge's",
        ),
        (page(*map(delivery, range(1, 1002))), "isn't a bridge's"),
    ],
)
def test_an_odd_answer_ends_it_and_posts_nothing(
    public: Server, local: Server, answer: tuple[int, bytes], reason: str
) -> None:
    public.answers = [answer]
    with pytest.raises(CantListen, match=reason):
        post_all(public, local, 3)
    assert local.asked == []


def test_an_answer_that_never_ends_is_not_read(
    public: Server, local: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "LARGEST_ANSWER", 1000)
    public.answers = [page(delivery(1, body="A" * 4000))]
    with pytest.raises(CantListen, match="larger than any delivery"):
        post_all(public, local, 1)


def test_the_token_is_sent_by_https_only_or_to_this_machine() -> None:
    assert listening.is_safe_for_a_token("https://bridge.example.com")
    assert listening.is_safe_for_a_token("http://localhost:8090")
    assert not listening.is_safe_for_a_token("http://bridge.example.com")
    assert is_loopback("127.0.0.1")


def test_no_webhook_waits_for_another_or_ends_it() -> None:
    posted = Posted(Delivery.model_validate(delivery(1)), Answer(200, b""))
    is_back = Event()

    def ending() -> Iterator[Posted]:
        yield posted
        raise CantListen("it is gone")

    def waiting() -> Iterator[Posted]:
        assert is_back.wait(60)
        yield from ending()

    found = listening.listen_to_each({"waits": waiting(), "ends": ending()})
    assert next(found) == ("ends", posted)
    assert str(next(found)[1]) == "it is gone"
    is_back.set()
    assert next(found) == ("waits", posted)
    assert [name for name, _ in found] == ["waits"]


# --- the command ---


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (
            ["http://bridge.example.com", "--forward", "http://localhost:8000/webhook/w"],
            "readable on its way",
        ),
        (
            ["https://me:secret@b.example.com", "--forward", "http://localhost/webhook/w"],
            "shows it to everyone",
        ),
        (["ftp://b.example.com", "--forward", "http://localhost/webhook/w"], "not a URL"),
        (["https://b.example.com", "--forward", "localhost:8000"], "not a URL"),
        (["https://b.example.com", "--forward", "http://localhost:8000/"], "say --webhook NAME"),
        (
            ["https://b.example.com", *["--forward", "http://localhost:8000/webhook/w"] * 2],
            "a webhook of its own",
        ),
    ],
)
def test_wrong_usage_is_said_before_anything_is_sent(
    cli: Cli, arguments: list[str], reason: str
) -> None:
    assert reason in " ".join(cli("listen", *arguments, code=2).output.split())


def test_one_line_per_delivery_and_how_it_ended(cli: Cli, public: Server, local: Server) -> None:
    cli.environment["BRIDGE_LISTEN_TOKEN"] = "the-token-of-admins"
    public.answers = [
        page(delivery(1), delivery(2, receivedAt="\x1b[31m")),
        (403, b'{"message": "no"}'),
    ]
    local.answers = [
        (200, b'{"eventId": "e9"}'),
        (401, b'{"error": "unauthorized", "message": "no"}'),
    ]
    result = cli("listen", public.url, "--forward", f"{local.url}/webhook/w", code=1)
    first, second = result.stdout.splitlines()
    assert first == "2026-01-31T12:00:00.000Z  POST  event-1  8  200  eventId e9"
    assert "  401  error unauthorized" in second
    assert "\x1b" not in result.output
    assert "see --resign" in result.stderr
    assert "403 Forbidden: no" in result.stderr
    assert public.asked[0][2]["authorization"] == "Bearer the-token-of-admins"


def test_json_lines(cli: Cli, public: Server, local: Server) -> None:
    cli.environment["BRIDGE_LISTEN_TOKEN"] = "the-token-of-admins"
    public.answers = [page(delivery(1)), (403, b"")]
    arguments = [
        "listen",
        public.url,
        "--forward",
        f"{local.url}/a/b",
        "-w",
        "w",
        "--json",
        "--from",
        "last",
    ]
    result = cli(*arguments, code=1)
    assert json.loads(result.stdout) == {
        "eventId": "event-1",
        "receivedAt": "2026-01-31T12:00:00.000Z",
        "method": "POST",
        "bytes": 8,
        "status": 200,
        "answer": "eventId e",
    }
    assert public.asked[0][1] == "/api/webhooks/w/deliveries?from=last"
    assert public.asked[0][2]["authorization"] == "Bearer the-token-of-admins"


def test_several_webhooks_are_listened_to_at_once(cli: Cli, public: Server, local: Server) -> None:
    public.answers = [page(delivery(1)), (403, b"")]
    forwards = [
        part for name in ("w", "v") for part in ("--forward", f"{local.url}/webhook/{name}")
    ]
    result = cli("listen", public.url, *forwards, "--json", code=1)
    (line,) = map(json.loads, result.stdout.splitlines())
    assert local.asked[0][1] == f"/webhook/{line['webhook']}"
    assert {asked[1].split("/")[3] for asked in public.asked} == {"w", "v"}
    assert "w: the public bridge answers 403" in result.stderr
    assert "v: the public bridge answers 403" in result.stderr


def test_deliveries_are_signed_anew_if_asked_for(
    cli: Cli, public: Server, local: Server, sample: Sample
) -> None:
    stale = {"x-hub-signature-256": "sha256=of-another-secret", "x-github-event": "push"}
    public.answers = [page(delivery(1, headers=stale)), (403, b"")]
    forward = f"{local.url}/webhook/github-deploys"
    cli("listen", public.url, "--forward", forward, "--resign", code=1)
    sent = local.asked[0][2]
    assert sent["x-github-event"] == "push"
    assert len(sent["x-hub-signature-256"]) == len("sha256=") + 64
    public.answers = [page(delivery(1, headers={})), (403, b"")]
    cli("listen", public.url, "--forward", f"{local.url}/webhook/orders", "--resign", code=1)
    assert local.asked[1][2]["x-api-key"] == "another-secret-value", "which was never passed on"
    assert (
        "no webhook on this machine"
        in cli(
            "listen", public.url, "--forward", f"{local.url}/webhook/unknown", "--resign", code=1
        ).stderr
    )
