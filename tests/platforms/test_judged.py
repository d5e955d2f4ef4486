"""The bridge thinks of deliveries what the platforms' own libraries think of them
(tests/platforms/judged)."""

from __future__ import annotations

import pytest

from tests.platforms.judged import Record, Verdict, accepts, records, signed_sample
from tests.platforms.test_properties import CANNOT
from tests.support.vendors import Pages

RECORDS = list(records())


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.platform.name)
def test_the_platforms_library_accepts_what_the_bridge_signs(record: Record) -> None:
    assert [verdict.accepts for verdict in record.verdicts if verdict.delivery == record.sent] == [
        True
    ]
    if record.platform.name not in CANNOT:
        anew, once_more = signed_sample(record.platform), signed_sample(record.platform)
        accepted = [verdict.delivery for verdict in record.verdicts if verdict.accepts]
        assert anew in accepted or anew != once_more, f"ask it again: {record.judge}"


@pytest.mark.parametrize(
    ("record", "verdict"),
    [(record, verdict) for record in RECORDS for verdict in record.verdicts],
    ids=lambda given: given.platform.name if isinstance(given, Record) else None,
)
def test_the_bridge_thinks_what_the_platforms_library_thinks(
    record: Record, verdict: Verdict
) -> None:
    pages = Pages({url: page.encode() for url, page in record.pages.items()})
    assert accepts(record.platform, verdict.delivery, pages) is verdict.ours, record.judge


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.platform.name)
def test_no_change_of_what_is_signed_is_accepted(record: Record) -> None:
    assert record.platform.verifier is not None
    accepted = [
        record.sent.made_into(verdict.delivery) for verdict in record.verdicts if verdict.ours
    ]
    for change in accepted:
        signed_anew = len(change.get("headers", {})) > 1
        assert (
            not change
            or signed_anew
            or ("body" in change and "body" not in record.platform.verifier.covers)
        ), change
    assert len(accepted) < len(record.verdicts)
