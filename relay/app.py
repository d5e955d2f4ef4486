"""The relay's application factory."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import closing

from flask import Flask

from config.last_good import LastGood
from config.logs import configure_logging
from config.settings import Settings, SettingsError, load_settings
from config.watch import DefinitionsSource
from config.webhooks import Definitions, DefinitionsError
from platforms import PLATFORMS
from platforms.base import Platform
from relay import concurrency, views
from relay.background import Background
from relay.concurrency import run_in_thread
from relay.definitions import Changes, warn
from relay.http.forwarded import believing
from relay.receiver import Receiver
from relay.reports.outcomes import Outcomes
from relay.reports.raw_deliveries import Keeper
from relay.route import Route, routes_of
from relay.verify.vendor_keys import HttpsDownload, KeyCaches, KeySource
from relay.waiting.senders import Waiting
from store import tracing
from store.clock import MonotonicClock
from store.errors import NewerStore, StoreUnavailable
from store.open import open_store
from store.processes import RelayStore


def create_app(
    settings: Settings | None = None,
    *,
    store: RelayStore | None = None,
    keys: KeySource | None = None,
    platforms: Mapping[str, Platform] = PLATFORMS,
    clock: MonotonicClock = time,
) -> Flask:
    """The relay as a WSGI application; ``app.extensions["relay"]`` is its `Background`.

    Without `settings`, reads them from the environment; any error in the settings, the definitions
    or the store is printed on stderr and ends the process. With `settings`, raises SettingsError,
    DefinitionsError, StoreUnavailable or NewerStore. `store`, `keys` and `clock` replace the real
    ones.
    """
    if settings is None:
        return _of_environment()
    last_good = LastGood(
        platforms,
        may_be_empty=settings.bridge_admin_writes,
        conductor_payload=settings.bridge_conductor_payload,
    )

    def read_kept() -> Mapping[str, str]:
        if store is not None:
            return store.kept_definitions.all()
        with closing(
            open_store(settings.bridge_database)
        ) as opened:  # no fork inherits its connections
            return opened.kept_definitions.all()

    definitions = last_good.begin(settings.bridge_webhooks, read_kept)
    warn(definitions)
    store = store or open_store(settings.bridge_database, scheduler=concurrency)
    # On a thread, so that deliveries continue meanwhile.
    source = DefinitionsSource(
        settings.bridge_webhooks, lambda path: run_in_thread(last_good.load, path), definitions
    )
    keeper = Keeper(store.raw_deliveries, source, settings.bridge_retention)
    outcomes = Outcomes(store.without_events, keeper)
    key_source = keys or KeyCaches(HttpsDownload(settings.bridge_key_mirror)).of

    def routes(definitions: Definitions) -> Mapping[str, Route]:
        return run_in_thread(routes_of, definitions, settings, key_source, platforms)

    waiting = Waiting(store.answers, store.signals)
    receiver = Receiver(
        store, routes(definitions), outcomes, keeper, waiting, definitions.unavailable, clock
    )
    where = settings.bridge_relay_metrics
    background = Background(
        source,
        outcomes,
        keeper,
        waiting,
        metrics_address=None if where in ("off", "public") else where,
    )
    source.listener = Changes(source, routes, receiver, store, last_good, background)

    app = Flask("relay", static_folder=None)
    app.url_map.merge_slashes = False  # any other path is another webhook's, or nobody's
    proxies = settings.bridge_trusted_proxies
    app.register_blueprint(views.webhooks(receiver, waiting, bool(proxies)))
    app.register_blueprint(views.pages(store.deliveries, with_metrics=where == "public"))
    views.handle_errors(app)
    app.wsgi_app = believing(app.wsgi_app, proxies)  # type: ignore[assignment, method-assign]
    app.extensions["relay"] = background
    return app


def _of_environment() -> Flask:
    try:
        settings = load_settings()
        configure_logging(settings.bridge_log_format, "relay")
        tracing.configure("relay")
        return create_app(settings)
    except (SettingsError, DefinitionsError, StoreUnavailable, NewerStore) as error:
        print(f"the relay can't start:\n{error}", file=sys.stderr)
        raise SystemExit(1) from None
