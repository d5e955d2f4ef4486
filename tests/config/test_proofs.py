"""What a platform requires of a definition is checked, and what is risky is warned of."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.webhooks import load_definitions
from platforms import PLATFORMS
from tests.config.loading import ENVIRONMENT, Load, Problems, webhook
from tests.config.loading import load as load
from tests.config.loading import problems as problems


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        (
            {"platform": "github"},
            "secret: missing: platform github needs it; add secret: ${NAME}, or say verifier: none",
        ),
        (
            {"platform": "slak"},
            "platform: unknown platform 'slak'; did you mean slack? known are adyen, airtable, airwallex",
        ),
        (
            {"platform": "facebook"},
            "verify_token: missing: platform facebook needs it; add verify_token: ${NAME}",
        ),
        (
            {"platform": "google-pubsub", "service_account": "a@b"},
            "audience: missing: platform google-pubsub needs it",
        ),
        (
            {"platform": "google-pubsub", "audience": "a"},
            "service_account: missing: platform google-pubsub needs it",
        ),
        (
            {"platform": "github", "secret": "'${SECRET}'", "challenge": "check"},
            "challenge: platform github has no `challenge`",
        ),
        ({"secret": "'${SECRET}'", "headers": "{A: b}"}, "secret: platform custom has no `secret`"),
        (
            {"platform": "sendgrid", "secret": "'${SECRET}'"},
            "secret: a secret that sendgrid can't use; it should be a public key in base64",
        ),
        (
            {"platform": "github", "headers": "{X-GitHub-Event: push}"},
            "secret: missing: platform github needs it; add secret: ${NAME}, or say verifier: none if its headers",
        ),
        (
            {},
            "platform: nothing verifies its deliveries; add headers:, signature:, jwt: or mtls:, or say verifier",
        ),
    ],
)
def test_what_a_platform_asks_is_checked(
    problems: Problems, keys: dict[str, str], problem: str
) -> None:
    found = problems(webhook(**keys))
    assert len(found) == 1
    assert f"webhook a: {problem}" in found[0]


@pytest.mark.parametrize(
    ("keys", "warning"),
    [
        (
            {"verifier": "none"},
            "verifier: warning: deliveries are not verified: anyone who knows the URL can post",
        ),
        (
            {"platform": "github", "verifier": "none"},
            "verifier: warning: deliveries are not verified",
        ),
        (
            {"platform": "slack"},
            "platform: warning: no signing secret: once the challenge has come, anyone",
        ),
        (
            {"platform": "facebook", "verify_token": "'${SECRET}'"},
            "platform: warning: no signing secret: once the",
        ),
        (
            {"platform": "facebook", "secret": "'${SECRET}'"},
            "platform: warning: no verify_token: the challenge can't be answered",
        ),
        (
            {"challenge": "token"},
            "platform: warning: no signing secret: once the challenge has come, anyone",
        ),
        (
            {"headers": "{A: b}"},
            "headers.A: warning: a short value, which can be guessed, and nothing else proves",
        ),
        (
            {"headers": "{A: aaaaaaaaaaaaaaaaaaaaaaa}"},
            "headers.A: warning: a short value, which can be guessed",
        ),
        (
            {"headers": "{A: [aaaaaaaaaaaaaaaaaaaaaaa, 9f86d081884c7d65]}"},
            "headers.A[0]: warning: a short value",
        ),
        (
            {"headers": "{A: Bearer your-token-here}"},
            "headers.A: warning: a placeholder, not a secret; put the real",
        ),
        (
            {"platform": "slack", "headers": "{A: '${SECRET}'}"},
            "platform: warning: no secret: nothing but its",
        ),
        (
            {"platform": "stripe", "secret": "sk_test_51H8xYzABCDEF"},
            "secret: warning: an API key, not the endpoint's",
        ),
        (
            {"platform": "slack", "secret": "xoxb-123456789012-abcdef"},
            "secret: warning: a token, not the app's signing",
        ),
        (
            {"platform": "github", "secret": "short"},
            "secret: warning: a short secret, which can be guessed",
        ),
        (
            {"platform": "github", "secret": "['${SECRET}', short]"},
            "secret[1]: warning: a short secret",
        ),
        (
            {"signature": "{secret: '${SECRET}', header: A, timestamp_header: B}"},
            "signature.timestamp_header: warning: the timestamp is not signed",
        ),
        (
            {"signature": "{secret: '${SECRET}', header: A}", "dedup": "{header: X-Id}"},
            "dedup.header: warning: nobody signs it: anyone who has seen a delivery can send it again under another id",
        ),
        (
            {"platform": "twilio", "secret": "${SECRET}", "dedup": "{path: $.id}"},
            "dedup: warning: it isn't used: of what twilio sends, only what is signed identifies a delivery",
        ),
    ],
)
def test_what_is_risky_is_warned_of(load: Load, keys: dict[str, str], warning: str) -> None:
    definitions = load(webhook(**keys))
    assert len(definitions.warnings) == 1
    assert f"webhook a: {warning}" in str(definitions.warnings[0])


@pytest.mark.parametrize(
    ("keys", "warned"),
    [
        ({"max_body": "11MB"}, True),
        ({"max_body": "10MB"}, False),
        ({"max_body": "11MB", "split": "true"}, False),
        ({}, False),
    ],
)
def test_a_body_larger_than_conductor_takes_is_warned_of(
    keys: dict[str, str], warned: bool, tmp_path: Path
) -> None:
    file = tmp_path / "webhooks.yaml"
    file.write_text(webhook(headers="{A: 0123456789abcdef}", **keys))
    definitions = load_definitions(file, PLATFORMS, ENVIRONMENT, conductor_payload=10 * 1024**2)
    assert [problem.where for problem in definitions.warnings] == ["webhook a: max_body"] * warned
    assert load_definitions(file, PLATFORMS, ENVIRONMENT).warnings == ()


@pytest.mark.parametrize(
    "keys",
    [
        {"platform": "github", "secret": "'${SECRET}'"},
        {"platform": "github", "secret": "'${SECRET}'", "headers": "{X-GitHub-Event: push}"},
        {"headers": "{A: '${SECRET}', X-Kind: order}"},
        {"headers": "{Authorization: 'Bearer ${SECRET}'}"},
        {"platform": "slack", "secret": "'${SECRET}'"},
        {"platform": "stripe", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
        {"platform": "facebook", "secret": "'${SECRET}'", "verify_token": "'${SECRET}'"},
        {"platform": "aws-sns", "topic": "arn:aws:sns:eu-west-1:123456789012:alarms"},
        {"platform": "google-pubsub", "audience": "aud", "service_account": "me@example.com"},
        {"signature": "{secret: '${SECRET}', header: A}"},
        {
            "challenge": "token",
            "signature": "{secret: '${SECRET}', header: A}",
            "headers": "{A: b}",
        },
    ],
)
def test_what_is_verified_has_no_warning(load: Load, keys: dict[str, str]) -> None:
    assert load(webhook(**keys)).warnings == ()
