"""The pages and the API of rejected deliveries."""

from __future__ import annotations

import re

from flask.testing import FlaskClient

from store.sql.event_search import EventFilter
from tests.support.sample import Sample, keep_refused


def number_of_events(sample: Sample) -> int:
    return len(sample.store.queries.events(EventFilter(limit=1000)))


def test_a_refused_delivery_is_shown_and_accepted_by_a_button(
    client: FlaskClient, sample: Sample
) -> None:
    kept_id, before = keep_refused(sample), number_of_events(sample)
    assert f"/rejections/{kept_id}" in client.get("/rejections").text
    page = client.get(f"/rejections/{kept_id}").text
    assert "it would be accepted" in page
    assert "sha256=" not in page
    assert "<b>" not in page.replace("<b>***", "")
    answer = client.post(f"/rejections/{kept_id}/retry")
    assert answer.status_code == 303
    assert number_of_events(sample) == before + 1
    again = client.get(f"/rejections/{kept_id}").text
    assert answer.headers["Location"] in again
    assert "Accept it now" not in again
    assert "It is its event’s." in again
    assert "Edit and send" not in again, "nothing is left to be edited"
    assert client.post(f"/rejections/{kept_id}/retry").status_code == 409
    assert sample.store.changes.newest("github-deploys", 1)[0].what == "retried"


def test_many_are_planned_confirmed_and_accepted(client: FlaskClient, sample: Sample) -> None:
    for number in range(2):
        keep_refused(sample, b'{"n": %d}' % number)
    keep_refused(sample, secret="wrong")
    before = number_of_events(sample)
    overview = client.get("/").text
    assert "2 of the last 3 rejected deliveries of github-deploys would be accepted now" in overview
    link = re.search(r'href="(/rejections/retry[^"]*)"', overview)
    assert link
    page = client.get(link[1]).text
    assert "Still rejected" in page
    form = {"webhook": "github-deploys", "number": "2"}
    keep_refused(sample, b'{"n": 2}')
    changed = client.post("/rejections/retry", data=form).text
    assert "Their number has changed" in changed
    assert number_of_events(sample) == before
    assert (
        "3 rejected deliveries of github-deploys accepted"
        in client.post("/rejections/retry", data=form | {"number": "3"}).text
    )
    assert number_of_events(sample) == before + 3
    assert client.get("/rejections/retry").status_code == 400


def test_the_api_shows_and_retries(client: FlaskClient, sample: Sample) -> None:
    kept_id = keep_refused(sample)
    assert client.get("/api/rejections?webhook=github-deploys").json[0]["keptId"] == kept_id  # type: ignore[index]
    found = client.get(f"/api/rejections/{kept_id}").json
    assert found is not None
    assert (found["stillRejected"], found["payload"]) == (None, {"ref": "kept"})
    answer = client.post(f"/api/rejections/{kept_id}/retry")
    assert (answer.status_code, answer.json["duplicate"]) == (201, False)  # type: ignore[index]
    assert client.post(f"/api/rejections/{kept_id}/retry").status_code == 409
    assert client.get("/api/rejections/unknown").status_code == 404
