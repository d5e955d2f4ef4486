"""Every route × every method × everybody but the admin × every way to say who one is: nothing
changes.

The same requests, sent by an admin, change something at every route that may: so what is refused is
refused for who sends it, and not since it is a request that does nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from admin.page.access import COOKIE
from admin.page.app import create_app
from admin.page.webhooks import DefinitionsFolder
from store.sql.event_search import EventFilter
from store.story import Note
from store.transfer import TABLES
from tests.support.sample import DEFINITIONS, Sample, keep_refused, make_sample

ADMIN, VIEWER = "the-token-of-admins", "the-token-of-viewers"
CHANGING = ("POST", "PUT", "DELETE")
METHODS = ("GET", "HEAD", "OPTIONS", *CHANGING, "PATCH", "TRACE")
WAYS = ("anonymous", "cookie", "Bearer", "X-Authorization", "session as X-Authorization", "guess")
OWN_SESSION = {"pages.log_in", "pages.logout", "orkes.token"}
"""What begins or ends the sender's own session, and nothing else."""
ELSEWHERE = {"webhooks.test", "webhooks.run"}
"""What changes something in a relay or in Conductor, which are not there here: so that each is
refused is asserted."""
ONLY_TELLS = {"api.make_callback"}
"""What gives an admin a URL, and records nothing."""
KEEPER = """\
  - name: keeper
    platform: github
    secret: a-secret-of-more-than-sixteen-characters
    keep_rejected: 9
    receivers:
      deploy: any
"""
"""One more webhook, which keeps what it refuses."""
DO = {
    "definitions.create": "create",
    "definitions.save": "save",
    "webhooks.pause": "pause",
    "sending.act": "save",
}
"""The button that is pressed, of forms with several."""
NEW = {
    "name": "made-by-a-request",
    "verifier": "HEADER_BASED",
    "headers": {"X-Key": "a-value-of-more-than-16-characters"},
    "receiverWorkflowNamesToVersions": {"w": 1},
}


class Walk:
    """A bridge whose page may write, and requests that do all that can be done there."""

    def __init__(self, folder: Path):
        folder.mkdir(exist_ok=True)
        self.sample: Sample = make_sample(
            folder, bridge_admin_writes=True, bridge_admin_token=ADMIN, bridge_viewer_token=VIEWER
        )
        self._version_read: tuple[int, ...] | None = None
        self._tables: dict[str, Any] = {}
        self.refused = keep_refused(self.sample, webhook="keeper")
        definitions = folder / "webhooks"
        definitions.mkdir()
        (definitions / "all.yaml").write_text(DEFINITIONS + KEEPER, encoding="utf-8")
        settings = self.sample.settings.model_copy(
            update={"bridge_webhooks": definitions, "bridge_relay_url": "http://127.0.0.1:1"}
        )
        self.folder = folder
        self.app: Flask = create_app(settings)
        written = DefinitionsFolder(definitions).find("github-deploys")
        assert written is not None
        self.version = written.version
        self.client().get("/", headers={"Authorization": f"Bearer {ADMIN}"})  # the store is opened
        self.session(VIEWER)  # and the key of sessions

    def client(self) -> FlaskClient:
        return self.app.test_client()

    def session(self, token: str) -> str:
        """The cookie that the token's holder is given."""
        client = self.client()
        client.post("/login", data={"token": token})
        cookie = client.get_cookie(COOKIE)
        assert cookie is not None
        return cookie.value

    def rules(self) -> list[Rule]:
        return [rule for rule in self.app.url_map.iter_rules() if rule.endpoint != "static"]

    def url(self, rule: Rule) -> str:
        sample = self.sample
        values = {
            "name": "github-deploys",
            "event_id": sample.events["refused"],
            "task_id": "task-late",
            "rejection_id": self.refused,
            "webhook_id": "github-deploys",
            "workflow_id": "w-1",
        }
        given = {**(rule.defaults or {}), **{k: values[k] for k in rule.arguments & values.keys()}}
        return str(self.app.url_map.bind("localhost").build(rule.endpoint, given))

    def body(self, rule: Rule, method: str) -> dict[str, Any]:
        """What makes the route do all that it can."""
        if rule.rule.startswith("/api/metadata/webhook"):
            if rule.rule.endswith("/tags"):
                return {"json": [{"key": "team", "value": "a"}]}
            return {"json": {**NEW, "name": "github-deploys"} if method == "PUT" else NEW}
        if rule.endpoint == "orkes.token":
            return {"json": {"keyId": "x", "keySecret": "none of them"}}
        if rule.rule.startswith("/api/events/") and rule.endpoint.startswith("many."):
            return {
                "json": {"reason": "known"}
                | ({} if rule.arguments - {"verb"} else {"status": "failed"})
            }
        if rule.rule.startswith("/api/"):
            return {}
        failed = len(self.sample.store.queries.events(EventFilter(status="failed")))
        form = {
            "version": self.version,
            "webhook": "keeper" if rule.endpoint == "pages.retry_many" else "",
            "confirm": "github-deploys",
            "status": "failed",
            "number": str(failed),
            "do": DO.get(rule.endpoint, ""),
            "platform": "github",
            "name": "made-by-a-request",
            "secret": "a-secret-of-more-than-16-characters",
            "receiver": "another_workflow",
            "sample": "push",
            "reason": "known",
            "save_as": "made-by-a-request",
            "body": "{}",
            "yaml": "name: github-deploys\nplatform: github\nsecret: '***'\nreceivers: {another_workflow: any}\n",
        }
        # A form's fields may come in the query as well.
        return {"data": form, "query_string": {"status": "failed", "do": form["do"]}}

    def state(self) -> dict[str, Any]:
        """Everything that a request could change, but for who has logged in or out and who tried."""
        files = {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and not path.name.startswith("bridge.db")
        }
        return {"tables": self.tables(), "files": files, "environment": dict(os.environ)}

    def tables(self) -> dict[str, Any]:
        """All rows, which are read again once another connection, as the page's is, has written
        any."""
        [version] = self.sample.store._connections.reader.execute("PRAGMA data_version")
        if version != self._version_read:
            self._version_read = version
            self._tables = {
                table.name: self.sample.store.tables.read(
                    self.sample.store.tables.with_columns(table), None, 10**6
                )
                for table in TABLES
                if table.name not in ("sessions_over", "delivery_counts")
            }
        return self._tables

    def send(self, rule: Rule, method: str, way: str, token: str) -> int:
        client, headers = self.client(), {}
        session = self.session(token) if way in ("cookie", "session as X-Authorization") else ""
        if way == "cookie":
            client.set_cookie(COOKIE, session)
        elif way == "Bearer":
            headers["Authorization"] = f"Bearer {token}"
        elif way == "X-Authorization":
            headers["X-Authorization"] = token
        elif way == "session as X-Authorization":
            headers["X-Authorization"] = session
        elif way == "guess":
            headers["Authorization"] = "Bearer none-of-the-two-tokens"
        with client.open(
            self.url(rule), method=method, headers=headers, **self.body(rule, method)
        ) as answer:
            return answer.status_code


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    walk = Walk(tmp_path_factory.mktemp("walk"))
    yield walk
    walk.sample.store.close()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere too many wrong tokens are answered 429."""
    monkeypatch.setattr("admin.page.access.WrongTokens.may_record", lambda self, address: True)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", METHODS)
def test_nobody_but_an_admin_changes_anything(walk: Walk, method: str, way: str) -> None:
    before = walk.state()
    for rule in walk.rules():
        status = walk.send(rule, method, way, VIEWER)
        assert status != 500, f"{method} {rule.rule} as {way}"
        if (
            method in CHANGING
            and method in (rule.methods or ())
            and rule.endpoint not in OWN_SESSION
        ):
            assert status in (302, 401, 403), f"{method} {rule.rule} as {way}"
        after = walk.state()
        assert after == before, f"{method} {rule.rule} as {way} ({status})"


def test_an_admin_changes_something_at_every_route_that_may(tmp_path: Path) -> None:
    changing: set[str] = set()
    unsafe: set[str] = set()
    for number, method in enumerate(CHANGING):
        rules = [
            rule
            for rule in Walk(tmp_path / f"rules{number}").rules()
            if method in (rule.methods or ())
        ]
        for place, rule in enumerate(rules):
            unsafe.add(rule.endpoint)
            walk = Walk(tmp_path / f"{number}-{place}")
            if rule.endpoint == "orkes.delete_tags":
                walk.sample.store.orkes_clients.set(
                    "tags", "github-deploys", '[{"key": "team", "value": "a"}]'
                )
            if (rule.defaults or {}).get("verb") == "reopen":
                note = Note(0, "ada", "acknowledged", "known")
                walk.sample.store.acknowledgements.record([walk.sample.events["refused"]], note)
            if rule.endpoint == "api.resume":
                walk.sample.store.pauses.pause("github-deploys", 0)
            before = walk.state()
            way = "Bearer" if rule.rule.startswith("/api/") else "cookie"
            status = walk.send(rule, method, way, ADMIN)
            if walk.state() != before:
                changing.add(rule.endpoint)
            else:
                assert rule.endpoint in OWN_SESSION | ELSEWHERE | ONLY_TELLS, (
                    f"{method} {rule.rule}: {status}"
                )
            walk.sample.store.close()
    assert changing == unsafe - OWN_SESSION - ELSEWHERE - ONLY_TELLS


def test_no_route_both_shows_and_changes(walk: Walk) -> None:
    """HEAD and OPTIONS come to the views of GET: these must change nothing whatever is sent with
    them."""
    for rule in walk.rules():
        methods = (rule.methods or set()) - {"HEAD", "OPTIONS"}
        assert len(methods) == 1, rule


def test_a_stranger_sees_nothing_but_the_log_in(walk: Walk) -> None:
    open_to_all = dict.fromkeys(("pages.login", "pages.health", "pages.ready"), 200)
    for rule in walk.rules():
        if "GET" not in (rule.methods or ()):
            continue
        answer = walk.client().get(walk.url(rule))
        expected = open_to_all.get(rule.endpoint, 401 if "/api/" in rule.rule else 302)
        assert answer.status_code == expected, rule
        assert "github-deploys" not in answer.text.replace("/github-deploys", "")
