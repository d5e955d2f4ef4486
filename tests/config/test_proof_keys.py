"""What is wrong in `signature`, `jwt`, `mtls` and `challenge` is said with its line and a remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.webhooks import DefinitionsError, load_definitions
from platforms import PLATFORMS

_SIGNATURE = "signature: {secret: 0123456789abcdef, header: X-S, "


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        (_SIGNATURE + "signed: '{bdy}'}", "signature.signed: {bdy} can't be signed; only"),
        (_SIGNATURE + "signed: '{path}'}", "signature.signed: the body isn't signed; write"),
        (_SIGNATURE + "signed: '{body}{Body}'}", "signature.signed: {Body} can't be signed"),
        (
            _SIGNATURE + "signed: '{body}.{body}'}",
            "signature.signed: {body} is there twice; write it once",
        ),
        (
            _SIGNATURE + "signed: '{header:A}{body}'}",
            "signature.signed: nothing separates {header:A} from {body}",
        ),
        (
            _SIGNATURE + "signed: '{body}{header:A}'}",
            "signature.signed: nothing separates {header:A} from {body}",
        ),
        (
            _SIGNATURE + "signed: '{query}{body}'}",
            "signature.signed: nothing separates {query} from {body}",
        ),
        (
            _SIGNATURE + "signed: '{body}{path}'}",
            "signature.signed: nothing separates {path} from {body}",
        ),
        (
            _SIGNATURE + "signed: '{header:A}.{header:a}.{body}'}",
            "signature.signed: {header:a} is there twice",
        ),
        (
            _SIGNATURE + "signed: '{header:A b}.{body}'}",
            "signature.signed: {header:A b} can't be signed",
        ),
        (
            _SIGNATURE + "signed: '{timestamp}.{body}'}",
            "signature.signed: {timestamp} is signed, but no key says",
        ),
        (
            _SIGNATURE + "format: 't={timestamp}'}",
            "signature.format: not one {signature}; write it once",
        ),
        (
            _SIGNATURE + "format: '{time},{signature}'}",
            "signature.format: {time} can't be in a format; only",
        ),
        (
            _SIGNATURE + "format: '{timestamp}{signature}'}",
            "signature.format: nothing separates time and signature;",
        ),
        (
            _SIGNATURE + "format: 'v={signature}', prefix: v}",
            "signature.prefix: a prefix beside a format; write",
        ),
        (
            _SIGNATURE + "format: 't={timestamp},v={signature}', timestamp_header: X-T}",
            "signature.timestamp_header: a second place for the time",
        ),
        (
            "signature: {secret: 00 11 22, header: X-S, key_encoding: hex}",
            "signature.secret: not a key in hex, as",
        ),
        ("jwt: {audience: hooks}", "jwt.issuer: missing; add issuer: https://login.example.com"),
        (
            "jwt: {issuer: login.example.com}",
            "jwt.issuer: 'login.example.com' is not a URL where keys can be",
        ),
        (
            "jwt: {issuer: 'http://login.example.com'}",
            "jwt.issuer: 'http://login.example.com' is not a URL",
        ),
        (
            "jwt: {issuer: a, jwks: 'http://192.0.2.1/keys'}",
            "jwt.jwks: 'http://192.0.2.1/keys' is not a URL to fetch",
        ),
        ("jwt: {issuer: a, jwks: 'https://u:p@a/keys'}", "jwt.jwks: "),
        ("jwt: {issuer: a, jwks: 'https://a/k', claims: {'$[': x}}", "jwt.claims.$[: "),
        (
            "jwt: {issuer: a, jwks: 'https://a/k', claims: {$.a: {$in: []}}}",
            "jwt.claims.$.a: this can never hold",
        ),
        ("jwt: {issuer: a, jwks: 'https://a/k', secret: x}", "jwt.secret: unknown key"),
        ("mtls: {header: X-DN}", "mtls: any certificate would do; add subject: or san:"),
        ("mtls: {subject: CN=a}", "mtls.header: missing; add header: X-SSL-Client-S-DN"),
        (
            "mtls: {header: X-DN, subject: /C=SE/CN=a}",
            "mtls.subject: '/C=SE/CN=a' can be the text of several cert",
        ),
        (
            "mtls: {header: X-DN, subject: [CN=a, 'C = SE, CN = a']}",
            "mtls.subject: 'C = SE, CN = a' can be the text",
        ),
        (
            "jwt: {issuer: a, jwks: 'https://a/k', claims: {scope: x}}",
            "jwt.claims.scope: 'scope' doesn't begin with $",
        ),
        (
            "mtls: {header: X-DN, subject: CN=a, form: pem}",
            "mtls.form: Input should be 'name', 'certificate' or 'envoy'; write certificate",
        ),
        ("challenge: {}", "challenge: no challenge; add name: NAME, or head: true"),
        ("challenge: {head: true}", "platform: nothing verifies its deliveries; add headers:"),
        (
            "challenge: {head: true, answer: json}",
            "challenge.answer: an answer to no challenge; add name: NAME",
        ),
        (
            "jwt: {issuer: 'https://a'}, keep_rejected: 5",
            "keep_rejected: what this webhook rejects can't be kept",
        ),
        (
            "mtls: {header: A, san: b}, keep_rejected: 5",
            "keep_rejected: what this webhook rejects can't be kept",
        ),
    ],
)
def test_an_error_has_its_line_and_a_remedy(keys: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "webhooks.yaml"
    file.write_text(
        f"webhooks:\n  - {{name: a, {keys}, receivers: {{b: any}}}}\n", encoding="utf-8"
    )
    with pytest.raises(DefinitionsError) as found:
        load_definitions(file, PLATFORMS, {})
    assert f"{file}:2: webhook a: {says}" in str(found.value)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ("jwt: {issuer: 'https://a'}", "jwt: warning: a token that the issuer made for anyone"),
        (
            _SIGNATURE + "format: 't={timestamp},v={signature}'}",
            "signature.format: warning: the timestamp is not",
        ),
        (
            _SIGNATURE + "signed: '{header:A}.{body}'}, dedup: {header: B}",
            "dedup.header: warning: nobody signs it",
        ),
        (_SIGNATURE + "signed: '{header:A}.{body}'}, dedup: {header: a}", None),
        ("jwt: {issuer: 'https://a', audience: b}, headers: {X-Key: short}", None),
        (_SIGNATURE + "signed: '{method}{path}{timestamp}{body}', timestamp_header: X-T}", None),
        (_SIGNATURE + "signed: '{url}{body}'}", None),
    ],
)
def test_what_is_risky_is_warned_of(keys: str, says: str | None, tmp_path: Path) -> None:
    file = tmp_path / "webhooks.yaml"
    file.write_text(
        f"webhooks:\n  - {{name: a, {keys}, receivers: {{b: any}}}}\n", encoding="utf-8"
    )
    warnings = load_definitions(file, PLATFORMS, {}).warnings
    assert [f"webhook a: {says}" in str(warning) for warning in warnings] == (
        [True] if says else []
    )
