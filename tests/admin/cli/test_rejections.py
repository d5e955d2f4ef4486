"""``webhook-bridge rejections``: show and retry."""

from __future__ import annotations

import json

from store.sql.event_search import EventFilter
from tests.admin.conftest import Cli
from tests.support.sample import Sample, keep_refused


def number_of_events(sample: Sample) -> int:
    return len(sample.store.queries.events(EventFilter(limit=1000)))


def test_the_list_has_the_ids_of_what_was_kept(cli: Cli, sample: Sample) -> None:
    kept_id = keep_refused(sample)
    assert kept_id in cli("rejections", "-w", "github-deploys").stdout
    (one,) = json.loads(cli("rejections", "-w", "github-deploys", "--json").stdout)
    assert one["keptId"] == kept_id
    assert "keptId" not in json.loads(cli("rejections", "-w", "orders", "--json").stdout)[0]


def test_one_is_shown_without_its_signature_and_with_its_verdict(cli: Cli, sample: Sample) -> None:
    kept_id = keep_refused(sample)
    text = cli("rejections", "show", kept_id).stdout
    assert "it would be accepted" in text
    assert '"ref": "kept"' in text
    assert "sha256=" not in text
    assert "\x1b" not in text
    found = json.loads(cli("rejections", "show", kept_id, "--json").stdout)
    assert (found["keptId"], found["stillRejected"], found["eventId"]) == (kept_id, None, None)
    assert "no rejected delivery" in cli("rejections", "show", "unknown", code=1).stderr


def test_one_is_retried_once_and_recorded(cli: Cli, sample: Sample) -> None:
    kept_id, before = keep_refused(sample), number_of_events(sample)
    assert (
        "1 rejected delivery would be accepted"
        in cli("rejections", "retry", kept_id, "--dry-run").stdout
    )
    assert number_of_events(sample) == before
    assert "1 rejected delivery accepted" in cli("rejections", "retry", kept_id).stdout
    assert number_of_events(sample) == before + 1
    again = cli("rejections", "retry", kept_id, code=1)
    assert "it was accepted before, as event" in again.stderr
    shown = cli("rejections", "show", kept_id).stdout
    assert "accepted, as event" in shown
    assert "payload" not in shown, "it is the event's"
    assert number_of_events(sample) == before + 1
    (change,) = sample.store.changes.newest("github-deploys", 1)
    assert (change.what, change.webhook) == ("retried", "github-deploys")
    assert kept_id in change.detail


def test_one_that_is_still_rejected_says_why(cli: Cli, sample: Sample) -> None:
    kept_id, before = keep_refused(sample, secret="wrong"), number_of_events(sample)
    result = cli("rejections", "retry", kept_id, code=1)
    assert kept_id in result.stderr
    assert "signature" in result.stderr
    assert number_of_events(sample) == before


def test_many_need_a_yes_and_what_is_refused_is_no_error(cli: Cli, sample: Sample) -> None:
    many = ("rejections", "retry", "--webhook", "github-deploys", "--since", "2h")
    for number in range(3):
        keep_refused(sample, b'{"n": %d}' % number)
        if number == 0:
            assert (
                "1 rejected delivery of github-deploys becomes an event"
                in cli(*many, code=2).stderr
            )
    keep_refused(sample, secret="wrong")
    before = number_of_events(sample)
    assert "3 rejected deliveries of github-deploys become events" in cli(*many, code=2).stderr
    assert number_of_events(sample) == before
    found = json.loads(cli(*many, "--yes", "--json").stdout)
    assert found["accepted"] == {"github-deploys": 3}
    assert sum(found["leftOut"].values()) == 1
    assert number_of_events(sample) == before + 3
    assert "0 rejected deliveries would be accepted" in cli(*many, "--yes").stdout


def test_wrong_usage_is_told(cli: Cli, sample: Sample) -> None:
    kept_id = keep_refused(sample)
    assert "Give their IDs, or --webhook" in cli("rejections", "retry", code=2).stderr
    cli("rejections", "retry", kept_id, "--webhook", "github-deploys", code=2)
    assert (
        "--since goes with" in cli("rejections", "retry", kept_id, "--since", "2h", code=2).stderr
    )
    cli("rejections", "retry", "--webhook", "github-deploys", "--since", "soon", code=2)
    assert "no webhook" in cli("rejections", "retry", "--webhook", "github-deplos", code=1).stderr


def test_check_says_what_would_be_accepted(cli: Cli, sample: Sample) -> None:
    for number in range(2):
        keep_refused(sample, b'{"n": %d}' % number)
    keep_refused(sample, secret="wrong")
    text = cli("check").stderr
    assert "2 of the last 3 rejected deliveries of github-deploys would be accepted now" in text
    assert "webhook-bridge rejections retry --webhook github-deploys" in text
