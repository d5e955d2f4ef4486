"""The admin page of a folder that may be written."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from admin.page import webhooks
from admin.page.app import create_app
from config.webhooks import load_definitions
from platforms import PLATFORMS
from platforms.verifiers import Draft
from relay.app import create_app as create_relay
from tests.support.sample import settings_for

ADMIN, VIEWER = "the-token-of-admins", "the-token-of-viewers"


class Page:
    """The admin page of an empty folder that may be written."""

    def __init__(self, folder: Path, **more: Any):
        self.folder = folder / "webhooks"
        self.folder.mkdir(exist_ok=True)
        self.settings = settings_for(
            folder, **{"bridge_webhooks": self.folder, "bridge_admin_writes": True, **more}
        )
        self.client: FlaskClient = create_app(self.settings).test_client()

    def post(self, path: str, **values: Any) -> TestResponse:
        return self.client.post(path, data=values)

    def version(self, name: str) -> str:
        match = re.search(
            r'name="version" value="(\w+)"', self.client.get(f"/webhooks/{name}/edit").text
        )
        assert match
        return match[1]

    def create(self, **values: Any) -> TestResponse:
        given = {"do": "create", "platform": "github", "name": "deploys", "receiver": "deploy"}
        return self.post(
            "/new", **{**given, "secret": "9f86d081884c7d659a2feaa0c55ad015", **values}
        )

    def text(self, name: str) -> str:
        """What *Edit* shows of the webhook."""
        match = re.search(
            r'<textarea name="yaml"[^>]*>\n(.*?)</textarea>',
            self.client.get(f"/webhooks/{name}/edit").text,
            re.S,
        )
        assert match
        return unescape(match[1])

    def edit(self, name: str, old: str, new: str, do: str = "save", **values: Any) -> TestResponse:
        """Replaces a part of that text."""
        text = self.text(name)
        assert old in text
        values.setdefault("version", self.version(name))
        return self.post(
            f"/webhooks/{name}/edit",
            do=do,
            yaml=text.replace(old, new).replace("\n", "\r\n"),
            **values,
        )

    @property
    def defined(self) -> dict[str, Any]:
        return load_definitions(self.folder, PLATFORMS, dict(os.environ), may_be_empty=True).by_name


@pytest.fixture
def page(tmp_path: Path) -> Page:
    return Page(tmp_path)


@pytest.fixture
def relay(page: Page, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Draft]]:
    """A relay of the same folder, reached without a network; what was posted to it."""
    posted: list[Draft] = []

    def post(url: str, draft: Draft, wait: float) -> Any:
        posted.append(draft)
        client = create_relay(page.settings).test_client()
        path = url.removeprefix("https://hooks.example.com")
        answer = client.open(path, method=draft.method, data=draft.body, headers=draft.headers)
        return webhooks.Answer(answer.status_code, answer.data)

    monkeypatch.setattr(webhooks, "post", post)
    yield posted
