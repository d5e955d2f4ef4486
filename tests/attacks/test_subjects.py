"""Subjects of client certificates as proxies write them: no value in one can be taken for another
part of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from config.webhooks import DefinitionsError, load_definitions
from platforms import PLATFORMS
from tests.relay.verify.test_mtls import relay_for, status
from tests.support.relay import MakeRelay


def oneline(*parts: tuple[str, str]) -> str:
    """As OpenSSL's X509_NAME_oneline writes a subject, and HAProxy's ssl_c_s_dn: nothing is
    escaped."""
    return "".join(f"/{name}={value}" for name, value in parts)


PARTNER = oneline(("O", "Example"), ("CN", "partner"))
FORGED = oneline(("O", "Example/CN=partner"))
"""Of a certificate that an authority may well issue to somebody whose organization is called so."""


def test_two_certificates_have_one_text_so_a_definition_that_compares_it_is_refused(
    tmp_path: Path,
) -> None:
    assert PARTNER == FORGED
    file = tmp_path / "webhooks.yaml"
    mtls = "{header: X-SSL-Client-S-DN, subject: " + PARTNER + "}"
    file.write_text(f"webhooks:\n- name: edi\n  mtls: {mtls}\n  receivers: {{flow: any}}\n")
    with pytest.raises(
        DefinitionsError,
        match=r"webhooks.yaml:3: .*mtls.subject: .* several certificates.*ssl_c_der",
    ):
        load_definitions(file, PLATFORMS, {})


def test_what_looks_like_another_part_is_escaped_in_the_form_that_counts(
    make_relay: MakeRelay,
) -> None:
    relay = relay_for(make_relay, header="X-SSL-Client-S-DN", subject="O=Example,CN=partner")
    forged = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example,CN=partner")]
    ).rfc4514_string()
    assert status(relay, "X-SSL-Client-S-DN", forged) == 401
    assert status(relay, "X-SSL-Client-S-DN", "O=Example,CN=partner") == 200
