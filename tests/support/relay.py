"""A relay for the tests: real definitions, real store, no network, a clock that stands still."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from ruamel.yaml import YAML
from werkzeug.test import TestResponse

from platforms import PLATFORMS
from platforms.base import Platform
from platforms.verifiers import Fetch
from platforms.verifiers.protocol import no_fetch
from relay import create_app
from relay.background import Background
from store.clock import MonotonicClock
from store.delivery_records import WithoutEvent
from store.records import Event
from store.sql.event_search import EventFilter
from store.sqlite import SqliteStore, open_store
from tests.support.settings import settings_with

NOW = 1760000000.0


class Clock:
    """Unix seconds, as `time.time` tells them during a test."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class Relay:
    """A relay with these webhooks, called through WSGI."""

    def __init__(
        self,
        folder: Path,
        webhooks: list[dict[str, Any]],
        fetch: Fetch = no_fetch,
        platforms: Mapping[str, Platform] = PLATFORMS,
        clock: MonotonicClock = time,
        **settings: Any,
    ):
        self.file = folder / "webhooks.yaml"
        self.define(webhooks)
        self.url = f"sqlite:///{folder / 'bridge.db'}"
        given = {
            "bridge_webhooks": self.file,
            "bridge_database": self.url,
            "bridge_relay_metrics": "off",
            **settings,
        }
        self.settings = settings_with(**given)
        self.store: SqliteStore = open_store(self.url)
        self.app: Flask = create_app(
            self.settings,
            store=self.store,
            keys=lambda _: fetch,
            platforms=platforms,
            clock=clock,
        )
        self.client = self.app.test_client()

    def another_process(self) -> FlaskClient:
        """A client of a second relay with the same definitions and store."""
        return create_app(self.settings).test_client()

    def define(self, webhooks: list[dict[str, Any]]) -> None:
        """Writes the definitions; each webhook receives for some workflow unless it says
        otherwise."""
        whole = [{"receivers": {"flow": "any"}} | webhook for webhook in webhooks]
        # A literal ${ in a secret must not be taken for a reference.
        text = json.dumps({"webhooks": whole}).replace("${", "$${")
        YAML(typ="safe").load(text)
        self.file.write_text(text, encoding="utf-8")

    @property
    def background(self) -> Background:
        """What runs beside; not started in tests unless they do."""
        background: Background = self.app.extensions["relay"]
        return background

    def post(
        self,
        name: str,
        body: bytes | str = b"",
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> TestResponse:
        """Posts to the webhook, as JSON unless the headers say otherwise."""
        method = more.pop("method", "POST")
        given = {"Content-Type": "application/json", **(headers or {})}
        return self.client.open(f"/webhook/{name}", method=method, data=body, headers=given, **more)

    def events(self) -> list[Event]:
        """What was stored, the oldest first."""
        return list(reversed(self.store.queries.events(EventFilter(limit=1000))))

    def event(self) -> Event:
        """The only event that was stored."""
        (event,) = self.events()
        return event

    def payloads(self) -> list[Any]:
        """The payloads that were stored, the oldest first."""
        return [json.loads(event.payload) for event in self.events()]

    def rejections(self) -> list[WithoutEvent]:
        """The rejections that were noted, the newest first."""
        self.app.extensions["relay"].outcomes.flush()
        return self.store.without_events.rejections()

    def verified(self) -> set[str]:
        """The webhooks that are verified in the store."""
        return set(self.store.verifications.all())


class MakeRelay:
    """Makes relays, each in a folder of its own."""

    def __init__(self, factory: pytest.TempPathFactory):
        self._factory = factory
        self._made: list[Relay] = []

    def __call__(self, *webhooks: dict[str, Any], **more: Any) -> Relay:
        relay = Relay(self._factory.mktemp("relay"), list(webhooks), **more)
        self._made.append(relay)
        return relay
