"""Amazon SNS: messages that Amazon's key signs, and subscriptions that are confirmed."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from admin.cli import main
from config.webhooks import load_definitions
from platforms import PLATFORMS
from platforms.verifiers import KeysUnavailable
from tests.support.certificates import amazons
from tests.support.relay import Clock, MakeRelay, Relay

CERTIFICATE = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem"
SUBSCRIBE = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=t"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:topic"
PRIVATE = rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Amazon:
    """What is at Amazon's URLs."""

    def __init__(self) -> None:
        self.pages = {CERTIFICATE: amazons(PRIVATE.public_key()), SUBSCRIBE: b"<ok/>"}
        self.visited: list[tuple[str, bool]] = []

    def __call__(self, url: str, fresh: bool = False, **_: Any) -> bytes:
        self.visited.append((url, fresh))
        if url not in self.pages:
            raise KeysUnavailable(url)
        return self.pages[url]


def message(version: str = "2", **changed: Any) -> dict[str, Any]:
    """A message, signed with Amazon's key."""
    fields = {
        "Type": "Notification",
        "MessageId": "m-1",
        "TopicArn": TOPIC,
        "Subject": "é",
        "Message": "two\nlines",
        "Timestamp": "2025-10-09T08:53:20.000Z",
        "SignatureVersion": version,
        "SigningCertURL": CERTIFICATE,
    } | changed
    fields = {name: value for name, value in fields.items() if value is not None}
    names = [
        "Message",
        "MessageId",
        "Subject",
        "SubscribeURL",
        "Timestamp",
        "Token",
        "TopicArn",
        "Type",
    ]
    lines = "".join(f"{name}\n{fields[name]}\n" for name in names if name in fields)
    algorithm = hashes.SHA1() if version == "1" else hashes.SHA256()
    signature = PRIVATE.sign(lines.encode(), padding.PKCS1v15(), algorithm)
    return fields | {"Signature": base64.b64encode(signature).decode()}


def confirmation(**changed: Any) -> dict[str, Any]:
    return message(
        Type="SubscriptionConfirmation", Subject=None, Token="t", SubscribeURL=SUBSCRIBE, **changed
    )


def post(relay: Relay, value: Any, headers: dict[str, str] | None = None) -> Any:
    body = value if isinstance(value, str) else json.dumps(value)
    return relay.post("hook", body, {"Content-Type": "text/plain; charset=UTF-8"} | (headers or {}))


@pytest.fixture
def amazon() -> Amazon:
    return Amazon()


@pytest.fixture
def relay(make_relay: MakeRelay, amazon: Amazon, clock: Clock) -> Relay:
    return make_relay({"name": "hook", "platform": "aws-sns", "topic": TOPIC}, fetch=amazon)


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("subject", ["é", None])
def test_a_signed_message_is_an_event_although_it_says_that_it_is_text(
    version: str, subject: str | None, relay: Relay
) -> None:
    sent = message(version, Subject=subject)
    assert post(relay, sent).status_code == 200
    assert relay.payloads() == [sent]
    assert post(relay, sent).get_json()["duplicate"] is True


@pytest.mark.parametrize(
    "url",
    [
        *(
            CERTIFICATE.replace(*parts)
            for parts in (("https:", "http:"), (".com/", ".com:443/"), ("//", "//user@"))
        ),
        *(
            CERTIFICATE.replace("/Simple", new)
            for new in ("/folder/Simple", "//Simple", "/../Simple")
        ),
        *(CERTIFICATE.replace("-1.pem", new) for new in ("-.pem", "-%31.pem")),
        *(CERTIFICATE.replace("sns.", new) for new in ("sns-other.", "s3.", "sns.x/y.")),
        *(CERTIFICATE + more for more in ("?x", "?", "#x", "\n")),
        CERTIFICATE.upper(),
        "https://sns.eu-west-1.amazonaws.com/?Action=x&y=/SimpleNotificationService-1.pem",
        "https://sns.eu-west-1.amazonaws.com.evil.example/x.pem",
        "https://sns.eu-west-1.amazonaws.com@evil.example/x.pem",
        "https://sns.eu-west-1.amazonaws.com\\.evil.example/x.pem",
        "https://[sns.eu-west-1.amazonaws.com/x.pem",
        "file:///etc/passwd.pem",
        "",
        7,
    ],
)
def test_a_certificate_from_elsewhere_is_not_even_fetched(
    url: Any, relay: Relay, amazon: Amazon
) -> None:
    assert post(relay, message(SigningCertURL=url)).status_code == 401
    assert amazon.visited == []


def test_a_subscription_is_confirmed_once_its_message_is_verified(
    relay: Relay, amazon: Amazon
) -> None:
    assert post(relay, confirmation() | {"Message": "x"}).status_code == 401
    assert (SUBSCRIBE, True) not in amazon.visited
    assert post(relay, confirmation()).status_code == 200
    assert amazon.visited[-1] == (SUBSCRIBE, True)
    assert relay.events() == []
    assert relay.verified() == {"hook"}


def test_a_signed_subscribe_url_elsewhere_is_not_visited(relay: Relay, amazon: Amazon) -> None:
    assert post(relay, confirmation() | message(
        Type="SubscriptionConfirmation", Subject=None, Token="t", SubscribeURL="https://evil.example/"
    )).status_code == 401  # fmt: skip
    assert [url for url, _ in amazon.visited] == [CERTIFICATE]


def test_amazon_is_asked_to_try_again_when_it_cannot_be_reached(
    relay: Relay, amazon: Amazon
) -> None:
    pages, amazon.pages = amazon.pages, {}
    response = post(relay, message())
    assert (response.status_code, bool(response.headers["Retry-After"])) == (503, True)
    amazon.pages = {CERTIFICATE: pages[CERTIFICATE]}
    assert post(relay, confirmation()).status_code == 503
    assert relay.verified() == set()
    assert post(relay, message()).status_code == 200
    amazon.pages = {CERTIFICATE: b"not a certificate"}
    assert post(relay, message()).status_code == 401


def test_a_webhook_can_be_pinned_to_its_topic(
    make_relay: MakeRelay, amazon: Amazon, clock: Clock
) -> None:
    pinned = {"name": "hook", "platform": "aws-sns", "headers": {"x-amz-sns-topic-arn": TOPIC}}
    relay = make_relay(pinned, fetch=amazon)
    assert post(relay, message(), {"x-amz-sns-topic-arn": TOPIC}).status_code == 200
    other = message(TopicArn="arn:aws:sns:eu-west-1:210987654321:evil")
    for headers in (
        {},
        {"x-amz-sns-topic-arn": TOPIC},
        {"x-amz-sns-topic-arn": "arn:aws:sns:eu-west-1:210987654321:evil"},
    ):
        assert post(relay, other, headers).status_code == 401


@pytest.mark.parametrize(
    ("pattern", "holds"),
    [
        (TOPIC, True),
        ("arn:aws:sns:*:123456789012:*", True),
        ("arn:aws:sns:eu-west-1:123456789012:*", True),
        (["arn:aws:sns:eu-west-1:123456789012:other", TOPIC], True),
        ("arn:aws:sns:eu-west-1:123456789012:other", False),
        ("arn:aws:sns:us-east-1:123456789012:topic", False),
        ("arn:aws:sns:*:210987654321:*", False),
        ("arn:aws-cn:sns:*:123456789012:*", False),
    ],
)
def test_only_the_topics_of_the_definition_are_taken(
    pattern: Any, holds: bool, make_relay: MakeRelay, amazon: Amazon, clock: Clock
) -> None:
    relay = make_relay({"name": "hook", "platform": "aws-sns", "topic": pattern}, fetch=amazon)
    assert post(relay, message()).status_code == (200 if holds else 401)
    assert post(relay, confirmation()).status_code == (200 if holds else 401)
    assert (SUBSCRIBE in [url for url, _ in amazon.visited]) is holds
    assert holds or amazon.visited == []  # who doesn't know the topic causes no fetch


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"until": 2025}, "the certificate is not valid now"),
        ({"since": 2026}, "the certificate is not valid now"),
        ({"to": "evil.example"}, "the certificate is not one of Amazon SNS"),
        ({"to": "sns.amazonaws.com.evil.example"}, "the certificate is not one of Amazon SNS"),
        ({"by": "Let's Encrypt"}, "the certificate was not issued by Amazon"),
        ({"by": "Amazonas"}, "the certificate was not issued by Amazon"),
    ],
)
def test_the_certificate_is_amazons_and_valid_now(
    how: dict[str, Any], reason: str, relay: Relay, amazon: Amazon
) -> None:
    amazon.pages[CERTIFICATE] = amazons(PRIVATE.public_key(), **how)
    assert post(relay, message()).status_code == 401
    assert relay.rejections()[0].reason == reason


@pytest.mark.parametrize(
    "name",
    [
        "sns.amazonaws.com",
        "sns-signing.eu-south-1.amazonaws.com",
        "sns-us-gov-west-1.amazonaws.com",
    ],
)
def test_certificates_have_other_names_in_some_regions(
    name: str, relay: Relay, amazon: Amazon
) -> None:
    amazon.pages[CERTIFICATE] = amazons(PRIVATE.public_key(), to=name)
    assert post(relay, message()).status_code == 200


def test_lines_of_a_message_cannot_pass_for_the_fields_behind_it(relay: Relay) -> None:
    sent = message(Message="hello\nMessageId\nm-0", MessageId="m-1")
    assert post(relay, sent).status_code == 200
    forged = sent | {"Message": "hello", "MessageId": "m-0\nMessageId\nm-1"}
    assert post(relay, forged).status_code == 401
    assert len(relay.events()) == 1


def test_a_webhook_without_a_topic_makes_check_fail_and_runs(tmp_path: Path) -> None:
    file = tmp_path / "webhooks.yaml"
    written = {"name": "hook", "platform": "aws-sns", "receivers": {"flow": "any"}}
    for more, fails in (
        ({}, True),
        ({"topic": TOPIC}, False),
        ({"headers": {"X-Amz-Sns-Topic-Arn": TOPIC}}, False),
    ):
        file.write_text(json.dumps({"webhooks": [written | more]}))
        assert [one.fails_check for one in load_definitions(file, PLATFORMS).warnings] == [
            True
        ] * fails
        answer = CliRunner().invoke(
            main, ["check", "--offline"], env={"BRIDGE_WEBHOOKS": str(file)}
        )
        assert answer.exit_code == fails, answer.output
        assert ("signs for everyone" in answer.output) is fails


def test_the_age_counts_where_the_webhook_says_so(
    make_relay: MakeRelay, amazon: Amazon, clock: Any
) -> None:
    relay = make_relay(
        {"name": "hook", "platform": "aws-sns", "topic": TOPIC, "tolerance": "1h"}, fetch=amazon
    )
    assert post(relay, message()).status_code == 200
    clock.now += 3601
    assert post(relay, message(MessageId="m-2")).status_code == 401
