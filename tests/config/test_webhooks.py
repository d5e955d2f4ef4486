"""The shipped file, its schema's line, and a definition with every key."""

from __future__ import annotations

import re
from pathlib import Path

import config.webhooks
from config.webhooks import Webhook, load_definitions
from platforms import PLATFORMS

SHIPPED = Path(config.webhooks.__file__).with_name("webhooks.yaml")

KITCHEN_SINK = """\
webhooks:
  - name: everything
    id: 7f3kq
    platform: custom
    secret: ["${NEW}", "${OLD}"]
    verify_token: ${TOKEN}
    audience: https://hooks.example.com/webhook/7f3kq
    service_account: pusher@project.iam.gserviceaccount.com
    topic: ["arn:aws:sns:eu-west-1:123456789012:alarms", "arn:aws:sns:*:123456789012:*"]
    headers: {X-Api-Key: "${TOKEN}"}
    signature:
      secret: ${TOKEN}
      header: X-Signature
      algorithm: sha512
      encoding: base64
      prefix: "v1="
      signed: "{timestamp}.{body}"
      timestamp_header: X-Timestamp
      tolerance: 90s
    jwt:
      issuer: https://login.example.com
      audience: [hooks, orders]
      jwks: http://127.0.0.1:9000/keys
      claims: {$.scope: {$regex: orders}, $.tenant: 7}
      header: X-Token
      tolerance: 30s
    mtls: {header: X-Client, subject: [CN=a, CN=b], san: a.example.com, form: certificate}
    challenge: {name: challenge, answer: json, head: true}
    verifier: none
    only: {$.type: {$in: [a, b]}, $.kind: {$eq: {$odd: 1}}, $.gone: {$exists: false}}
    respond: {status: 202, body: {text: thanks}, content_type: application/json}
    receivers: {one: any, two: 2, three: [1, 3]}
    starts:
      - workflow: four
        version: 4
        when:
          $._webhook.headers['x-event']: push
          $.number: 1
          $.flag: true
          $.deep: {a: [1]}
          $.size: {$gt: 1, $gte: 1.5, $lt: 10, $lte: 9, $ne: 3, $nin: [4]}
          $.ref: {$regex: "^refs/heads/", $not: {$regex: /tmp-, $exists: true}}
      - workflow: five
        once: {key: $.ticket.id, while: kept}
        unless: taken
        input: {ticket: $.ticket.id, source: web}
    messages:
      - {workflow: six, key: $.thread, version: 6, when: {$.number: 1}}
      - {workflow: seven, key: $.thread, else: hold}
    accept: {rate: 200/s, burst: 400}
    pace: 50/s
    hold: 1h30m
    dedup: {header: X-Delivery-Id}
    split: true
    max_body: 25MB
    allow_ips: [192.0.2.0/24, 198.51.100.7, "2001:db8::/32"]
    decode: {$.text: json}
    schema: {file: text.schema.json, else: keep}
    hide: [$.card.number]
    listen: true
    keep_rejected: 100
    metadata: false
    public_url: https://hooks.example.com/webhook/7f3kq?tenant=1
    tolerance: 10m
"""


def test_the_shipped_file_accepts_nothing_unsigned() -> None:
    definitions = load_definitions(
        SHIPPED, PLATFORMS, {"SLACK_SIGNING_SECRET": "8f742231b10e8888abcd99yyyzzz85a5"}
    )
    assert [webhook.name for webhook in definitions.webhooks] == ["slack"]
    assert definitions.warnings == ()
    assert all(webhook.secret and webhook.verifier is None for webhook in definitions.webhooks)


def test_the_shipped_file_names_its_schema_in_the_first_line() -> None:
    first = SHIPPED.read_text(encoding="utf-8").splitlines()[0]
    match = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert match
    assert (SHIPPED.parent / match[1]).is_file()


def test_a_definition_with_every_key_loads(tmp_path: Path) -> None:
    file = tmp_path / "webhooks.yaml"
    file.write_text(KITCHEN_SINK, encoding="utf-8")
    (tmp_path / "text.schema.json").write_text("{}")
    secret = "x" * 20
    (webhook,) = load_definitions(
        file, None, {"NEW": secret, "OLD": secret, "TOKEN": secret}
    ).webhooks
    assert webhook.model_fields_set == set(Webhook.model_fields) - {"callback"}, (
        "which stands alone"
    )
    assert webhook.receivers == {"one": None, "two": frozenset({2}), "three": frozenset({1, 3})}
    assert webhook.signature is not None
    assert webhook.signature.tolerance == 90
    assert [start.workflow for start in webhook.starts] == ["four", "five"]
    assert [(one.workflow, one.else_, one.version) for one in webhook.messages] == [
        ("six", "start", 6),
        ("seven", "hold", None),
    ]
    assert webhook.max_body == 25 * 1024**2
    assert [str(network) for network in webhook.allow_ips] == [
        "192.0.2.0/24",
        "198.51.100.7/32",
        "2001:db8::/32",
    ]
