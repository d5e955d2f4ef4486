"""Client certificates that a proxy hands on: as each proxy writes them, and who is believed."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.support.relay import MakeRelay, Relay

KEY = ec.generate_private_key(ec.SECP256R1())
SUBJECT = "CN=partner,O=Example\\, Inc.,C=SE"
SPIFFE = "spiffe://example.com/partner"


def made(common_name: str = "partner", *alternatives: x509.GeneralName) -> x509.Certificate:
    """A certificate; nobody here checks who issued it, as the proxy has."""
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "SE"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example, Inc."),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )
    now = datetime(2026, 1, 1, tzinfo=timezone.utc)
    builder = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(KEY.public_key())
    )
    builder = (
        builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=9))
    )
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return builder.sign(KEY, hashes.SHA256())


PARTNER = made(
    "partner",
    x509.DNSName("Partner.example.com"),
    x509.UniformResourceIdentifier(SPIFFE),
    x509.RFC822Name("hooks@Example.com"),
    x509.IPAddress(ip_address("2001:db8::1")),
)
PEM = PARTNER.public_bytes(Encoding.PEM).decode()
DER = base64.b64encode(PARTNER.public_bytes(Encoding.DER)).decode()
OTHER = made("other", x509.DNSName("other.example.com"))
OTHER_DER = base64.b64encode(OTHER.public_bytes(Encoding.DER)).decode()


def relay_for(make_relay: MakeRelay, proxies: Any = "127.0.0.1", **asked: Any) -> Relay:
    return make_relay({"name": "orders", "mtls": asked}, bridge_trusted_proxies=proxies)


def status(relay: Relay, header: str, value: str | None, remote: str = "127.0.0.1") -> int:
    """The status of a delivery with that header, from this address."""
    headers = {} if value is None else {header: value}
    return relay.post(
        "orders", b"{}", headers, environ_overrides={"REMOTE_ADDR": remote}
    ).status_code


@pytest.mark.parametrize(
    ("header", "asked", "value"),
    [
        ("X-SSL-Client-S-DN", {"subject": SUBJECT}, SUBJECT),  # nginx
        ("X-SSL-Client-S-DN", {"subject": ["CN=other", SUBJECT]}, "CN=partner, O=Example\\, Inc., C=SE"),
        ("X-SSL-Client-S-DN", {"subject": SUBJECT}, "CN=partner,O=Example\\2C Inc.,C=SE"),
        ("X-SSL-Client-CN", {"subject": "partner"}, "partner"),  # HAProxy's %[ssl_c_s_dn(cn)]
        ("X-Client-Email", {"san": "hooks@example.com"}, "hooks@example.com"),
        ("X-SSL-Client-Cert", {"subject": SUBJECT, "san": SPIFFE}, quote(PEM)),  # nginx's $ssl_client_escaped_cert
        ("X-Any", {"san": "partner.example.com", "form": "certificate"}, quote(PEM)),
        ("X-SSL-Client-Cert", {"san": "hooks@example.com"}, DER),  # HAProxy's %[ssl_c_der,base64]
        ("Client-Cert", {"san": "2001:db8:0::1"}, f":{DER}:"),  # RFC 9440
        ("X-Amzn-Mtls-Clientcert-Leaf", {"san": "partner.example.com"}, quote(PEM, safe="+=/")),  # AWS ALB
        ("X-Amzn-Mtls-Clientcert-Subject", {"subject": SUBJECT}, SUBJECT),
        ("X-Forwarded-Tls-Client-Cert", {"subject": SUBJECT}, quote(DER, safe="")),  # Traefik
        ("X-Forwarded-Client-Cert", {"san": SPIFFE}, f'By=spiffe://b;Hash=00;Subject="";DNS=x;URI={SPIFFE}'),  # Envoy
        ("X-Forwarded-Client-Cert", {"subject": SUBJECT}, f'Hash=00;Subject="{SUBJECT}"'),
        ("X-Forwarded-Client-Cert", {"subject": SUBJECT, "san": SPIFFE}, f'Hash=00;Cert="{quote(PEM)}"'),
    ],
)  # fmt: skip
def test_what_proxies_hand_on_is_understood_and_another_certificate_refused(
    header: str, asked: dict[str, Any], value: str, make_relay: MakeRelay
) -> None:
    relay = relay_for(make_relay, header=header, **asked)
    assert status(relay, header, value) == 200, relay.rejections()
    assert header.lower() not in relay.event().headers
    other = {
        SUBJECT: SUBJECT.replace("partner", "other"),
        SPIFFE: SPIFFE + "2",
        DER: OTHER_DER,
        quote(PEM): quote(OTHER_DER),
        quote(DER, safe=""): OTHER_DER,
        quote(PEM, safe="+=/"): OTHER_DER,
        "partner": "other",
        "hooks@": "hook@",
    }
    forged = value
    for known, unknown in other.items():
        forged = forged.replace(known, unknown)
    for wrong in (
        forged if forged != value else None,
        "",
        None,
        f"{value},{value}",
        value + "x",
        "x",
        "\xff",
    ):
        assert status(relay, header, wrong) == 401, wrong
    assert len(relay.events()) == 1


def test_nobody_is_believed_without_a_proxy_that_the_settings_name(make_relay: MakeRelay) -> None:
    for proxies, remote, expected in (
        (0, "127.0.0.1", 401),
        (1, "192.0.2.1", 200),
        ("127.0.0.1", "192.0.2.1", 401),
        ("127.0.0.1", "127.0.0.1", 200),
        ("127.0.0.1", "", 200),
    ):
        relay = relay_for(make_relay, proxies, header="X-SSL-Client-S-DN", subject=SUBJECT)
        assert status(relay, "X-SSL-Client-S-DN", SUBJECT, remote) == expected, (proxies, remote)


@pytest.mark.parametrize(
    "value",
    [
        f'Hash=00;URI=spiffe://evil,Hash=01;URI={SPIFFE}',
        f'Hash=00;Subject="CN=evil\\";URI={SPIFFE};x=\\""',
        f'Hash=00;Subject="CN=evil";Subject="{SUBJECT}"',
        f'Hash=00;URI=spiffe://evil;Cert="{quote(OTHER_DER)}";URI={SPIFFE}',
        f'Hash=00;Subject="CN=evil";URI=spiffe://evil;Cert="{quote(PEM)}"',
        f'Hash=00;Subject="CN=evil";URI=spiffe://evil;Cert={DER}',
        f'Hash=00;Cert="{quote(OTHER_DER)}";Subject="CN=evil";DNS=evil;Cert="{quote(PEM)}"',
        f'Hash=00;URI=spiffe://evil;Subject="{SUBJECT}"',
        f'Subject="URI={SPIFFE}',
        "=;" * 9000,
        ";URI=" * 3000 + SPIFFE,
    ],
)  # fmt: skip
def test_what_a_client_writes_into_its_certificate_is_no_other_pair_of_envoys(
    value: str, make_relay: MakeRelay
) -> None:
    relay = relay_for(make_relay, header="X-Forwarded-Client-Cert", san=SPIFFE)
    assert status(relay, "X-Forwarded-Client-Cert", value) == 401, value
    relay = relay_for(make_relay, header="X-Forwarded-Client-Cert", subject=SUBJECT)
    assert status(relay, "X-Forwarded-Client-Cert", value) == 401, value


def test_a_comma_in_a_name_of_envoys_ends_no_part_of_it(make_relay: MakeRelay) -> None:
    """Envoy puts the subject between quotes as OpenSSL prints it, which has escaped everything
    already."""
    relay = relay_for(
        make_relay, header="X-Forwarded-Client-Cert", subject="O=Partner,CN=partner,C=SE"
    )
    for value, expected in (
        ("O=Partner\\,CN=partner,C=SE", 401),  # its organization is called so
        ('O=Partner\\"\\,CN=partner,C=SE', 401),
        ("O=Partner\\\\,CN=partner,C=SE", 401),  # its organization ends with a backslash
        ("O=Partner,CN=partner,C=SE", 200),
    ):
        assert status(relay, "X-Forwarded-Client-Cert", f'Hash=00;Subject="{value}"') == expected, (
            value
        )


@pytest.mark.parametrize(
    ("san", "name"),
    [
        ("partner.example.com", x509.UniformResourceIdentifier("partner.example.com")),
        ("partner.example.com", x509.RFC822Name("partner.example.com")),
        (SPIFFE, x509.DNSName(SPIFFE)),
        ("hooks@example.com", x509.DNSName("hooks@example.com")),
        ("hooks@example.com", x509.UniformResourceIdentifier("hooks@example.com")),
        ("192.0.2.1", x509.DNSName("192.0.2.1")),
        ("2001:db8::1", x509.DNSName("2001:db8::1")),
    ],
)  # fmt: skip
def test_a_name_of_another_kind_is_another_name(
    san: str, name: x509.GeneralName, make_relay: MakeRelay
) -> None:
    relay = relay_for(make_relay, header="X-SSL-Client-Cert", san=san)
    der = base64.b64encode(made("partner", name).public_bytes(Encoding.DER)).decode()
    assert status(relay, "X-SSL-Client-Cert", der) == 401


@pytest.mark.parametrize(
    "value",
    [
        PEM + PEM,
        f"{DER},{OTHER_DER}",
        DER[:-4],
        DER[:200],
        "-----BEGIN CERTIFICATE-----",
        "A" * 40000,
    ],
)
def test_a_chain_or_half_a_certificate_is_refused(value: str, make_relay: MakeRelay) -> None:
    """Of several it would be the sender's choice which is looked at."""
    relay = relay_for(make_relay, header="X-SSL-Client-Cert", subject=SUBJECT)
    assert status(relay, "X-SSL-Client-Cert", quote(value)) == 401


def test_a_certificate_is_asked_for_beside_other_proofs(make_relay: MakeRelay) -> None:
    relay = make_relay(
        {
            "name": "orders",
            "mtls": {"header": "X-DN", "subject": SUBJECT},
            "headers": {"X-Key": "0123456789abcdef"},
        },
        bridge_trusted_proxies="127.0.0.1",
    )
    assert relay.post("orders", b"{}", {"X-DN": SUBJECT}).status_code == 401
    assert relay.post("orders", b"{}", {"X-Key": "0123456789abcdef"}).status_code == 401
    assert (
        relay.post("orders", b"{}", {"X-DN": SUBJECT, "X-Key": "0123456789abcdef"}).status_code
        == 200
    )
