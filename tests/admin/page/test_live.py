"""The page of deliveries, and the rows that it asks for every second."""

from __future__ import annotations

from flask.testing import FlaskClient

from admin.page.app import create_app
from store.records import Decision, NewEvent, Term, new_event_id
from tests.support.deciding import decide
from tests.support.sample import Sample

ADMIN, VIEWER = "the-token-of-admins", "the-token-of-viewers"
ROWS = "/deliveries/rows"


def arrive(sample: Sample, webhook: str = "slack", delivery_id: str | None = None) -> str:
    now = sample.store.now()
    event = NewEvent(
        new_event_id(), webhook, now, '{"card": "4111 1111"}', {}, {}, now, delivery_id
    )
    sample.store.deliveries.append([event])
    return event.id


def test_the_page_shows_the_newest_deliveries_without_a_script(
    client: FlaskClient, sample: Sample
) -> None:
    event_id = arrive(sample)
    page = client.get("/deliveries")
    assert event_id in page.text
    assert "the header X-Api-Key is wrong &lt;script&gt;" in page.text
    assert ">Reload</a>" in page.text
    assert event_id not in client.get("/deliveries?webhook=orders").text


def test_only_pages_without_payloads_may_run_scripts_and_only_our_own(client: FlaskClient) -> None:
    policy = client.get("/deliveries").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert policy.endswith("; script-src 'self'; connect-src 'self'")
    assert "script" not in client.get("/events").headers["Content-Security-Policy"]
    assert "script" not in client.get("/").headers["Content-Security-Policy"]
    assert (
        client.get("/webhooks/orders")
        .headers["Content-Security-Policy"]
        .endswith("; script-src 'self'")
    )


def test_rows_that_are_the_same_are_not_sent_again(client: FlaskClient, sample: Sample) -> None:
    event_id = arrive(sample)
    tag = client.get(ROWS).headers["ETag"]
    again = client.get(ROWS, headers={"If-None-Match": tag})
    assert (again.status_code, again.text, again.headers["Cache-Control"]) == (304, "", "no-store")
    decide(
        sample.store, Term("sample"), [Decision(event_id, "expired", "no")], sample.store.now(), 0
    )
    changed = client.get(ROWS, headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert "expired" in changed.text.partition(f'data-key="{event_id}"')[2].partition("</tr>")[0]


def test_the_rows_of_one_webhook_have_no_others(client: FlaskClient, sample: Sample) -> None:
    other, event_id = arrive(sample, "orders"), arrive(sample)
    rows = client.get(f"{ROWS}?webhook=slack").text
    assert event_id in rows
    assert other not in rows


def test_viewers_may_watch_and_strangers_not(sample: Sample) -> None:
    given = sample.settings.model_dump(exclude_unset=True)
    tokens = {"bridge_admin_token": ADMIN, "bridge_viewer_token": VIEWER}
    app = create_app(type(sample.settings).model_validate(given | tokens))
    assert app.test_client().get(ROWS).status_code == 302
    answer = app.test_client().get(ROWS, headers={"Authorization": f"Bearer {VIEWER}"})
    assert "<tr" in answer.text


def test_what_is_hidden_is_in_no_row(client: FlaskClient, sample: Sample) -> None:
    file = sample.folder / "webhooks.yaml"
    text = file.read_text(encoding="utf-8").replace(
        "platform: slack\n", "platform: slack\n    hide: [$.card]\n"
    )
    file.write_text(text, encoding="utf-8")
    event_id = arrive(sample, delivery_id="4111 1111")
    rows = client.get(ROWS).text
    assert event_id in rows
    assert "4111 1111" not in rows
