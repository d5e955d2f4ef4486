"""The relay's application factory."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import closing

from flask import Flask

from config.last_good import LastGood
from config.logs import configure_logging
from config.settings import Settings, SettingsError, load_settings
from config.watch import DefinitionsSource
from config.webhooks import DefinitionsError
from platforms import PLATFORMS
from platforms.base import Platform
from platforms.verifiers import Fetch
from relay import web
from relay.background import Background
from relay.concurrency import block, let_others_run
from relay.definitions import Changes, LoadAside, Routing, warn
from relay.forwarded import believing
from relay.hidden_paths import KeptHiddenPaths
from relay.outcomes import Outcomes
from relay.receiver import Receiver
from relay.vendor_keys import KeySource, http_get
from store import tracing
from store.errors import NewerStore, StoreUnavailable
from store.open import open_store
from store.protocols import Store


def create_app(
    settings: Settings | None = None,
    *,
    store: Store | None = None,
    fetch: Fetch | None = None,
    platforms: Mapping[str, Platform] = PLATFORMS,
    in_background: bool = True,
) -> Flask:
    """The relay as a WSGI application; ``app.extensions["relay"]`` is its `Background`.

    Without `settings` they are read from the environment, and what is wrong with them, the definitions or the store is
    said on stderr before the process ends. With them, SettingsError, DefinitionsError, StoreUnavailable or NewerStore
    are raised. `store` and `fetch` stand in for the real ones; without `in_background` the first request starts nothing
    beside itself.
    """
    if settings is not None:
        return _create_app(settings, store, fetch, platforms, in_background)
    try:
        settings = load_settings()
        configure_logging(settings.bridge_log_format, "relay")
        tracing.configure("relay")
        return _create_app(settings, store, fetch, platforms, in_background)
    except (SettingsError, DefinitionsError, StoreUnavailable, NewerStore) as error:
        print(f"the relay can't start:\n{error}", file=sys.stderr)
        raise SystemExit(1) from None


def _create_app(
    settings: Settings,
    given_store: Store | None,
    given_fetch: Fetch | None,
    platforms: Mapping[str, Platform],
    in_background: bool,
) -> Flask:
    last_good = LastGood(
        platforms,
        may_be_empty=settings.bridge_admin_writes,
        conductor_payload=settings.bridge_conductor_payload,
    )

    def read_kept() -> Mapping[str, str]:
        if given_store is not None:
            return given_store.kept_definitions.all()
        with closing(open_store(settings.bridge_database)) as store:  # none of its connections goes into a fork
            return store.kept_definitions.all()

    def fetch_for(webhook: str) -> Fetch:
        return keys.of(webhook) if given_fetch is None else given_fetch

    definitions = last_good.begin(settings.bridge_webhooks, read_kept)
    warn(definitions)
    store = given_store or open_store(settings.bridge_database, gather=let_others_run, nap=block)
    keys = KeySource(http_get(settings.bridge_key_mirror), is_mirror=settings.bridge_key_mirror is not None)
    outcomes = Outcomes(store.deliveries)
    routing = Routing(settings, platforms, fetch_for)
    receiver = Receiver(store, routing.routes(definitions), outcomes)
    receiver.unavailable = definitions.unavailable
    hidden_paths = KeptHiddenPaths(store.hidden_paths, definitions)

    source = DefinitionsSource(settings.bridge_webhooks, LoadAside(last_good), definitions)
    where = settings.bridge_relay_metrics
    background = Background(
        source,
        outcomes,
        hidden_paths.write,
        metrics_address=None if where in ("off", "public") else where,
    )
    source.listener = Changes(routing, receiver, hidden_paths, store, last_good, background)

    app = Flask("relay", static_folder=None)
    app.register_blueprint(web.pages(store.deliveries, with_metrics=where == "public"))
    web.handle_errors(app)
    proxies = settings.bridge_trusted_proxies
    start = background.start if in_background else lambda: None
    deliveries = web.WebhookEndpoint(receiver, app.wsgi_app, start, bool(proxies))
    app.wsgi_app = believing(deliveries, proxies)  # type: ignore[assignment, method-assign]
    app.extensions["relay"] = background
    return app
