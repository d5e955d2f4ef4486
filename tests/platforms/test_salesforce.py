"""Salesforce's outbound messages: what is read of them, and that nothing in their XML grows or
fetches anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from config.problems import DefinitionsError
from config.webhooks import load_definitions
from platforms import PLATFORMS
from platforms.guide import samples
from tests.support.relay import MakeRelay, Relay

SUBJECT = "CN=salesforce,O=Example,C=SE"
CERTIFIED = {"X-DN": SUBJECT, "Content-Type": "text/xml; charset=UTF-8"}
SAMPLE = samples("salesforce")["opportunity"].body
SECOND = SAMPLE[SAMPLE.index(b"<Notification>") : SAMPLE.index(b"</notifications>")].replace(
    b"04l5", b"04l6"
)
DOCTYPE = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">%b]>'


@pytest.fixture
def relay(make_relay: MakeRelay) -> Relay:
    return make_relay(
        {"name": "deals", "platform": "salesforce", "mtls": {"header": "X-DN", "subject": SUBJECT}},
        bridge_trusted_proxies="127.0.0.1",
    )


def changed(old: bytes, new: bytes) -> bytes:
    assert old in SAMPLE
    return SAMPLE.replace(old, new)


def test_each_notification_is_an_event_and_is_acknowledged(relay: Relay) -> None:
    both = changed(b"</notifications>", SECOND + b"</notifications>").replace(
        b'<SessionId xsi:nil="true"/>', b"<SessionId>00D!secret</SessionId>"
    )
    for _ in range(2):
        answer = relay.post("deals", both, CERTIFIED)
        assert (answer.status_code, answer.mimetype) == (200, "text/xml")
        ack = ElementTree.fromstring(answer.data).find(
            ".//{http://soap.sforce.com/2005/09/outbound}Ack"
        )
        assert ack is not None
        assert ack.text == "true"
    first, second = relay.payloads()
    assert first["sObject"] == {
        "type": "Opportunity", "Id": "0065g00000KTz2yAAD", "Name": "Forty anvils", "Amount": "1200.0",
        "StageName": "Closed Won",
    }  # fmt: skip
    assert (first["OrganizationId"], second["Id"]) == ("00D5g000004WuvpEAC", "04l6g00000Pm3ZbAAJ")
    assert "secret" not in json.dumps([first, second])
    assert relay.events()[0].type == "Opportunity"


def test_only_the_client_certificate_proves_it(relay: Relay, tmp_path: Path) -> None:
    assert relay.post("deals", SAMPLE, {}).status_code == 401
    assert relay.post("deals", SAMPLE, CERTIFIED | {"X-DN": "CN=other"}).status_code == 401
    file = tmp_path / "open.yaml"
    file.write_text("webhooks: [{name: deals, platform: salesforce, receivers: {f: any}}]")
    with pytest.raises(DefinitionsError, match="mtls"):
        load_definitions(file, PLATFORMS, {})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"<sf:Name>Forty &amp; one&#10;anvils</sf:Name>", "Forty & one\nanvils"),
        (b"<sf:Name><![CDATA[<b>]]></sf:Name>", "<b>"),
        (b"<sf:Name></sf:Name>", ""),
        (b'<sf:Name xsi:nil="true"/>', None),
        (b"<sf:Name>1</sf:Name><sf:Name>2</sf:Name><sf:Name>3</sf:Name>", ["1", "2", "3"]),
        (
            b"<sf:Name><sf:City>Lund</sf:City> <sf:Zip>1</sf:Zip></sf:Name>",
            {"City": "Lund", "Zip": "1"},
        ),
    ],
)
def test_fields_are_text_lists_and_objects(field: bytes, value: Any, relay: Relay) -> None:
    assert (
        relay.post(
            "deals", changed(b"<sf:Name>Forty anvils</sf:Name>", field), CERTIFIED
        ).status_code
        == 200
    )
    assert relay.payloads()[0]["sObject"]["Name"] == value


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<", b"{}", b"<a/>", SAMPLE[:-20], SAMPLE + b"<a/>", b"\0" + SAMPLE,
        changed(b"?>\n<soap", b"?>" + DOCTYPE % b"" + b"<soap"),
        changed(b"?>\n<soap", b"?>" + DOCTYPE % b'<!ENTITY b SYSTEM "file:///etc/passwd">' + b"<soap"),
        changed(b"?>\n<soap", b'?><!DOCTYPE x SYSTEM "http://127.0.0.1/x.dtd"><soap'),
        changed(b"Forty anvils", b"&a;"),
        changed(b"Forty anvils", b"<a>" * 200 + b"</a>" * 200),
        changed(b"Forty anvils", b"<a/>" * 50_000),
        changed(b"Forty anvils", b"&#0;"),
        changed(b"Forty anvils", b"\xff"),
        changed(b"2005/09/outbound", b"2005/09/inbound"),
        changed(b'encoding="UTF-8"', b'encoding="x-none"'),
        changed(b'encoding="UTF-8"', b'encoding="punycode"'),
        changed(b"</notifications>", b'</notifications><notifications xmlns="http://soap.sforce.com/2005/09/outbound"/>'),
        SAMPLE[: SAMPLE.index(b"<Notification>")] + SAMPLE[SAMPLE.index(b"</notifications>") :],
        changed(b"<Notification>", b"<Notification>x</Notification><Notification>"),
    ],
)  # fmt: skip
def test_what_is_no_message_is_malformed(body: bytes, relay: Relay) -> None:
    assert relay.post("deals", body, CERTIFIED).status_code == 400
    assert relay.events() == []
