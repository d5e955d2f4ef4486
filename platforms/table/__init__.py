"""The platforms that are only data, by what proves their deliveries. To add one, copy a row
(docs/adding-a-platform.md)."""

from platforms.table import hmacs, standard_webhooks, timed, tokens

TABLE = (*hmacs.ROWS, *standard_webhooks.ROWS, *timed.ROWS, *tokens.ROWS)
