"""``webhook-bridge send``: signs as the platform would, and posts."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import pytest
import urllib3

from admin.events.deliveries import written
from config.webhooks import Webhook
from platforms import PLATFORMS
from platforms.http import Request
from relay.verify.verification import Verification
from tests.admin.conftest import Cli
from tests.platforms.test_properties import CANNOT, proof_of
from tests.support.sample import Sample
from tools.servers.http_server import Handler, HttpServer


@dataclass
class Recorder:
    """A server that keeps what it is sent."""

    port: int = 0
    status: int = 200
    answer: bytes = b'{"eventId": "e1"}'
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    def verdict(self, webhook: Webhook) -> None:
        """Raises unless the relay's own verification accepts what came last."""
        method, path, headers, body = self.requests[-1]
        url = f"http://localhost:{self.port}{path}"
        request = Request(
            method, url, path.partition("?")[2], headers, body, "127.0.0.1", time.time()
        )
        verification = Verification(webhook, PLATFORMS[webhook.platform])
        assert verification.checks
        verification.verify(request)


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()

    class Recording(Handler):
        def do_POST(self) -> None:
            recorder.requests.append(
                (self.command, self.path, self.lower_headers, self.read_body())
            )
            self.say(
                recorder.status,
                recorder.answer,
                {"Location": "/elsewhere"} if recorder.status == 302 else {},
            )

        do_PUT = do_POST

    with HttpServer(Recording) as server:
        recorder.port = server.server_port
        yield recorder


@pytest.fixture
def here(cli: Cli, recorder: Recorder) -> Cli:
    """The command line of a bridge without a public URL, with its relay at $PORT."""
    del cli.environment["BRIDGE_PUBLIC_URL"]
    cli.environment["PORT"] = str(recorder.port)
    return cli


def test_a_file_is_signed_and_posted_and_the_answer_printed(
    here: Cli, recorder: Recorder, sample: Sample
) -> None:
    body = b'{"ref": "refs/heads/main"}\n'
    Path("push.json").write_bytes(body)
    result = here("send", "github-deploys", "--data", "@push.json", "-H", "X-GitHub-Event: push")
    assert result.stdout == '200 OK\n{"eventId": "e1"}\n'
    method, path, headers, sent = recorder.requests[-1]
    assert (method, path, sent) == ("POST", "/webhook/github-deploys", body)
    assert headers["content-type"] == "application/json"
    assert headers["x-github-event"] == "push"
    key = b"a-secret-of-more-than-sixteen-characters"
    assert (
        headers["x-hub-signature-256"]
        == "sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest()
    )
    recorder.verdict(sample.bridge().definitions.by_name["github-deploys"])


def test_headers_of_a_custom_sender_are_given(
    here: Cli, recorder: Recorder, sample: Sample
) -> None:
    here("send", "orders", "--data", '{"a": 1}')
    assert recorder.requests[-1][2]["x-api-key"] == "another-secret-value"
    recorder.verdict(sample.bridge().definitions.by_name["orders"])


def test_a_refusal_is_printed_and_is_1(here: Cli, recorder: Recorder) -> None:
    recorder.status, recorder.answer = 401, b'{"error": "unauthorized", "message": "\x1b[31m"}'
    result = here("send", "github-deploys", "--data", "{}", "--unsigned", code=1)
    assert result.stdout.startswith("401 Unauthorized\n")
    assert "\x1b" not in result.stdout
    assert "x-hub-signature-256" not in recorder.requests[-1][2]


def test_the_answer_is_awaited_for_as_long_as_the_relay_may_wait(
    here: Cli, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = sample.settings.bridge_webhooks.read_text(encoding="utf-8")
    respond = "    starts: [{workflow: assistant}]\n    respond: {wait: 45s, output: $.reply}\n"
    sample.settings.bridge_webhooks.write_text(
        text.replace("    hold: 0s\n", respond), encoding="utf-8"
    )
    waited: list[float] = []

    def request(*_: object, timeout: float, **__: object) -> NoReturn:
        waited.append(timeout)
        raise OSError("not here")

    monkeypatch.setattr(urllib3.PoolManager, "request", request)
    for webhook in ("orders", "github-deploys"):
        here("send", webhook, "--data", "{}", code=1)
    assert waited[0] == waited[1] + 45


def test_a_redirect_is_not_followed(here: Cli, recorder: Recorder) -> None:
    recorder.status = 302
    assert here("send", "slack", code=1).stdout.startswith("302 ")
    assert len(recorder.requests) == 1


def test_standard_input_is_sent(here: Cli, recorder: Recorder) -> None:
    here("send", "slack", "--data", "@-", stdin=b'{"x": "\xc3\xa4"}')
    assert recorder.requests[-1][3] == b'{"x": "\xc3\xa4"}'


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        ('{"a": 1}', "application/json"),
        ("[1]", "application/json"),
        ("{'a': 1}", "application/json"),
        ("a=1&b=2", "application/x-www-form-urlencoded"),
        ("just text", "text/plain; charset=utf-8"),
        ("<a b='c'/>", "text/plain; charset=utf-8"),
    ],
)
def test_the_content_type_is_found(
    here: Cli, recorder: Recorder, data: str, content_type: str
) -> None:
    here("send", "slack", "--data", data)
    assert recorder.requests[-1][2]["content-type"] == content_type
    here("send", "slack", "--data", data, "-H", "Content-Type: application/x-own")
    assert recorder.requests[-1][2]["content-type"] == "application/x-own"


def test_json_with_a_slip_in_it_is_sent_as_json_unless_it_is_said_to_be_text(
    here: Cli, recorder: Recorder
) -> None:
    recorder.status = 400
    assert "--text" in here("send", "slack", "--data", '{"a": 1', code=1).stderr
    assert recorder.requests[-1][2]["content-type"] == "application/json"
    assert "--text" not in here("send", "slack", "--data", '{"a": 1', "--text", code=1).stderr
    assert recorder.requests[-1][2]["content-type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://localhost:{port}", "/webhook/slack?a=1"),
        ("http://localhost:{port}/", "/webhook/slack?a=1"),
        ("http://localhost:{port}/bridge/", "/bridge/webhook/slack?a=1"),
        ("http://localhost:{port}/webhook/other", "/webhook/other?a=1"),
    ],
)
def test_the_url_is_the_relays_or_the_webhooks(
    here: Cli, recorder: Recorder, url: str, path: str
) -> None:
    here.environment["PORT"] = "1"
    here("send", "slack", "--data", "{}", "--query", "a=1", "--url", url.format(port=recorder.port))
    assert recorder.requests[-1][1] == path


def test_the_public_url_is_posted_to(here: Cli, recorder: Recorder) -> None:
    here.environment |= {
        "PORT": "1",
        "BRIDGE_PUBLIC_URL": f"http://localhost:{recorder.port}/hooks",
    }
    here("send", "slack", "--data", "{}", "-X", "put")
    assert recorder.requests[-1][:2] == ("PUT", "/hooks/webhook/slack")
    here.environment["BRIDGE_RELAY_URL"] = f"http://localhost:{recorder.port}/relay"
    here("send", "slack", "--data", "{}")
    assert recorder.requests[-1][1] == "/relay/webhook/slack"


def test_the_signed_url_is_the_public_one_wherever_it_is_posted(
    here: Cli, recorder: Recorder, sample: Sample
) -> None:
    sample.settings.bridge_webhooks.write_text(
        "webhooks:\n- name: sms\n  platform: twilio\n  secret: a-long-auth-token-of-twilio\n  receivers: {a: 1}\n",
        encoding="utf-8",
    )
    here.environment["BRIDGE_PUBLIC_URL"] = "https://hooks.example.com"
    here("send", "sms", "--data", "Body=hi&From=1", "--url", f"http://localhost:{recorder.port}")
    text = "https://hooks.example.com/webhook/smsBodyhiFrom1"
    mac = hmac.new(b"a-long-auth-token-of-twilio", text.encode(), hashlib.sha1).digest()
    assert recorder.requests[-1][2]["x-twilio-signature"] == base64.b64encode(mac).decode()


def test_a_header_that_cannot_be_sent_is_wrong_usage(here: Cli) -> None:
    assert (
        "is not a header"
        in here("send", "github-deploys", "--data", "{}", "-H", "X: 日本", code=2).stderr
    )


@pytest.mark.parametrize("platform", sorted(set(PLATFORMS) - {"custom"}))
def test_every_platforms_signature_is_accepted_by_the_relay(
    here: Cli, recorder: Recorder, sample: Sample, platform: str
) -> None:
    """Those that sign with a key of theirs alone say so."""
    more = {
        "facebook": {"verify_token": "a-long-verify-token"},
        "whatsapp": {"verify_token": "a-long-verify-token"},
    }
    definition = {"name": "hook", "platform": platform, "receivers": {"a": 1}}
    definition |= proof_of(platform) | more.get(platform, {})
    sample.settings.bridge_webhooks.write_text(
        json.dumps({"webhooks": [definition]}), encoding="utf-8"
    )
    bodies = {
        "adyen": '{"notificationItems": [{"NotificationRequestItem": {"eventCode": "REFUND"}}]}',
        "mailgun": '{"event-data": {"id": "1"}}',
        "microsoft-graph": '{"value": [{"id": "1"}]}',
    }
    data = bodies.get(platform, '{"a": 1}')
    if platform in CANNOT:
        assert re.search(
            "public key only|only (Amazon SNS|Google|PayPal|Plaid) can",
            here("send", "hook", "--data", data, code=1).stderr,
        )
        return
    here("send", "hook", "--data", data)
    recorder.verdict(sample.bridge().definitions.by_name["hook"])


def test_without_a_name_the_samples_are_listed(here: Cli, recorder: Recorder) -> None:
    assert here("send", "github-deploys", "--sample").stdout.split() == ["push", "pull_request"]
    assert here("send", "slack", "--sample", "--unsigned").stdout.split() == [
        "message",
        "app_mention",
    ]
    assert not recorder.requests


def test_a_sample_is_another_event_each_time(here: Cli, recorder: Recorder) -> None:
    for _ in range(2):
        assert here("send", "slack", "--sample", "message").stderr == ""
    first, second = (json.loads(body) for _method, _path, _headers, body in recorder.requests)
    assert first.pop("event_id") != second.pop("event_id")
    assert first == second
    body = b'{"event_id": "Ev0SAMPLE001"}'
    here("send", "slack", "--sample", "message", "--data", body.decode())
    assert recorder.requests[-1][3] == body, "data of one's own are sent as they are"


def test_a_duplicate_is_called_one(here: Cli, recorder: Recorder) -> None:
    recorder.answer = b'{"eventId": "e1", "duplicate": true}'
    assert (
        "a duplicate: the relay received this event before"
        in here("send", "slack", "--data", "{}").stderr
    )


def test_what_cannot_be_is_told(here: Cli) -> None:
    assert (
        "no webhook nobody: known are github-deploys, orders, slack"
        in here("send", "nobody", code=1).stderr
    )
    assert "No such file" in here("send", "slack", "--data", "@nothing", code=2).stderr
    assert "is not a header" in here("send", "slack", "-H", "nothing", code=2).stderr
    assert "is not a URL" in here("send", "slack", "--url", "ftp://x", code=2).stderr
    assert "is not a URL" in here("send", "slack", "--url", "localhost:8000", code=2).stderr
    here.environment["PORT"] = "1"
    assert "can't be reached" in here("send", "slack", code=1).stderr


def test_the_answer_may_be_anything(here: Cli, recorder: Recorder) -> None:
    recorder.answer = json.dumps({"x": "y" * 20_000}).encode() + b"\xff"
    assert len(here("send", "slack").stdout) < 11_000


def test_what_was_saved_on_the_page_is_sent_with_new_ids_each_time(
    here: Cli, recorder: Recorder, sample: Sample
) -> None:
    body = {"ref": "refs/heads/main", "after": "a94f7be2103c58d6e0f17b2c4d9e86351f0c7ad8"}
    headers = {"X-GitHub-Event": "push", "content-type": "text/json"}
    saved = written("github-deploys", "POST", "a=1", headers, json.dumps(body), "mine")
    sample.store.raw_deliveries.save(saved, 1)
    here("send", "github-deploys", "--saved", "mine")
    here("send", "github-deploys", "--saved", "mine", "-H", "X-More: 1", "--query", "b=2")
    first, second = recorder.requests
    assert (first[1], second[1]) == ("/webhook/github-deploys?a=1", "/webhook/github-deploys?b=2")
    assert (first[2]["content-type"], first[2]["x-github-event"], second[2]["x-more"]) == (
        "text/json",
        "push",
        "1",
    )
    sent = [json.loads(request[3]) for request in recorder.requests]
    assert sent[0]["ref"] == body["ref"]
    assert len({body["after"], sent[0]["after"], sent[1]["after"]}) == 3
    recorder.verdict(sample.bridge().definitions.by_name["github-deploys"])
    assert (
        "has no saved delivery other"
        in here("send", "github-deploys", "--saved", "other", code=1).stderr
    )
    assert (
        "leave out --data"
        in here("send", "github-deploys", "--saved", "mine", "-d", "{}", code=2).stderr
    )


def test_a_token_comes_in_its_header_since_only_its_issuer_can_make_one(
    here: Cli, recorder: Recorder
) -> None:
    text = "webhooks: [{name: parcels, jwt: {issuer: 'https://a.example', audience: b%s}, receivers: {c: any}}]"
    Path("tokens.yaml").write_text(text % "")
    here.environment["BRIDGE_WEBHOOKS"] = "tokens.yaml"
    assert "in the header Authorization" in here("send", "parcels", "--data", "{}", code=1).stderr
    here("send", "parcels", "--data", "{}", "-H", "Authorization: Bearer aaa.bbb.ccc")
    assert recorder.requests[-1][2]["authorization"] == "Bearer aaa.bbb.ccc"
    Path("tokens.yaml").write_text(text % ", header: X-Token")
    here("send", "parcels", "--data", "{}", "-H", "X-Token: aaa.bbb.ccc")
    assert recorder.requests[-1][2]["x-token"] == "aaa.bbb.ccc"
