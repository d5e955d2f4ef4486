"""What people are told to do at a webhook's sender."""

from __future__ import annotations

from pathlib import Path

import pytest

from admin.setup_steps import as_html, as_text, setup_steps
from config.webhooks import load_definitions
from platforms import PLATFORMS
from platforms.guide import guides

SECRET = "a-secret-of-24-characters"


@pytest.mark.parametrize(
    ("proof", "told"),
    [
        (f"headers: {{X-Key: {SECRET}}}", ["add the header X-Key with its secret"]),
        (
            f"signature: {{header: X-Sig, secret: {SECRET}}}",
            ["sign {body} with", "SHA256, in hex", "header X-Sig."],
        ),
        (
            f"signature: {{header: X-Sig, secret: {SECRET}, algorithm: sha1, encoding: base64, prefix: v1=}}",
            ["HMAC-SHA1, in base64", "header X-Sig, written as v1={signature}."],
        ),
        (
            "jwt: {issuer: https://login.example.com, audience: [a, b]}",
            ["for a or b", "header Authorization"],
        ),
        (
            "mtls: {header: X-DN, subject: CN=a}",
            ["overwrite the header X-DN", "BRIDGE_TRUSTED_PROXIES"],
        ),
        ("challenge: token", ["sends its challenge"]),
        (f"headers: {{X-Key: {SECRET}}}\n    challenge: token", ["X-Key", "sends its challenge"]),
        (f"platform: github\n    secret: {SECRET}", ["under Webhooks"]),
    ],
)
def test_the_proof_that_the_webhook_asks_for_is_told(
    tmp_path: Path, proof: str, told: list[str]
) -> None:
    said = setup(tmp_path, proof)
    assert all(part in said for part in told), said
    assert SECRET not in said


@pytest.mark.parametrize("proof", [f"callback: {{secret: {SECRET}}}", "verifier: none"])
def test_nothing_is_told_where_nothing_is_to_be_done(tmp_path: Path, proof: str) -> None:
    assert setup(tmp_path, proof) == ""


def setup(folder: Path, proof: str) -> str:
    """What is told of a webhook with this proof."""
    file = folder / "webhooks.yaml"
    file.write_text(
        f"webhooks:\n  - name: one\n    {proof}\n    receivers: {{flow: any}}\n", encoding="utf-8"
    )
    (webhook,) = load_definitions(file, PLATFORMS, {}).webhooks
    return as_text(setup_steps(webhook, guides()[webhook.platform]))


def test_nothing_of_a_text_becomes_markup_but_its_few_marks() -> None:
    text = "Set `a<b>`, **now**, *softly*, [there](https://x.example/?a=1&b=2) and [here](javascript:alert(1)) <b>"
    html = as_html(text)
    assert "<code>a&lt;b&gt;</code>" in html
    assert "<strong>now</strong>" in html
    assert "<em>softly</em>" in html
    assert '<a href="https://x.example/?a=1&amp;b=2" rel="noreferrer">there</a>' in html
    assert "javascript" not in html
    assert html.endswith("&lt;b&gt;")
    assert as_text("Set `a`, **now**") == "Set a, now"
    assert as_html("see [`respond`](../a.md)") == "see <code>respond</code>"
    assert as_text("see [`respond`](../a.md)") == "see respond"
