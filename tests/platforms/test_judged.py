"""The bridge thinks of deliveries what the platforms' own libraries think of them (tests/platforms/judged)."""

from __future__ import annotations

import pytest

from platforms.bodies import BadBody
from platforms.http import Request
from platforms.verifiers import Credentials, Refused
from tests.platforms.judged import Delivery, Record, Verdict, records, signed_sample
from tests.platforms.test_properties import CANNOT
from tests.platforms.vendors import Pages

RECORDS = list(records())


def accepts(record: Record, given: Delivery) -> bool:
    """The bridge's verdict."""
    platform = record.platform
    assert platform.verifier is not None
    pages = Pages({url: page.encode() for url, page in record.pages.items()})
    credentials = Credentials((given.secret,), platform.tolerance, fetch=pages)
    headers = {name.lower(): value for name, value in given.headers.items()}
    query = given.url.partition("?")[2]
    request = Request(given.method, given.url, query, headers, given.body.encode(), None, given.now)
    try:
        platform.verifier.check(credentials)(request)
    except (Refused, BadBody):
        return False
    return True


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.platform.name)
def test_the_platforms_library_accepts_what_the_bridge_signs(record: Record) -> None:
    assert [verdict.accepts for verdict in record.verdicts if verdict.delivery == record.sent] == [True]
    if record.platform.name not in CANNOT:
        anew, once_more = signed_sample(record.platform), signed_sample(record.platform)
        assert anew == record.sent or anew != once_more, f"ask it again: {record.judge}"


@pytest.mark.parametrize(
    ("record", "verdict"),
    [(record, verdict) for record in RECORDS for verdict in record.verdicts],
    ids=lambda given: given.platform.name if isinstance(given, Record) else None,
)
def test_the_bridge_thinks_what_the_platforms_library_thinks(record: Record, verdict: Verdict) -> None:
    assert accepts(record, verdict.delivery) is verdict.ours, record.judge
