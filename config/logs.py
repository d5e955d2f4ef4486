"""Structured logs on stderr: one line per step, text on a terminal and JSON elsewhere."""

from __future__ import annotations

import io
import logging
import sys
import unicodedata
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, TextIO

import structlog

_LEVEL = logging.INFO
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def visible(text: str, lines: bool = False) -> str:
    """The text with characters that a terminal acts on or hides written as ``\\x1b`` or ``\\u202e``.

    Line breaks are kept with `lines`.
    """
    if text.isprintable():
        return text
    kept = "\n" if lines else ""
    # Long texts have few different characters.
    return text.translate(
        {ord(one): _written(one) for one in set(text) if _is_hidden(one) and one not in kept}
    )


def _is_hidden(character: str) -> bool:
    return not character.isprintable() and unicodedata.category(character) in _HIDDEN


def _written(character: str) -> str:
    if "\ud800" <= character <= "\udfff":
        return f"\\u{ord(character):04x}"
    return character.encode("unicode_escape").decode("ascii")


def _console() -> Any:
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=_traceback)


def _traceback(out: TextIO, error: Any) -> None:
    """Writes a plain traceback: pretty ones print local variables, and so payloads and secrets."""
    text = io.StringIO()
    structlog.dev.plain_traceback(text, error)
    out.write(visible(text.getvalue(), lines=True))


def _visibly(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Leaves no character in a line's texts that a terminal acts on: they may be a stranger's."""
    return {
        name: visible(value) if isinstance(value, str) else value for name, value in event.items()
    }


class _Lines:
    """Writes rendered lines to stderr. A line that can't be written never stops what it is about."""

    def __init__(self, name: str):
        self.name = name
        """The module whose lines these are."""

    def msg(self, line: str) -> None:
        # In one piece, with its end: lines of several threads or processes don't mix.
        with suppress(Exception):
            sys.stderr.write(line + "\n")

    debug = info = warning = error = critical = msg


class _LinesFactory:
    def __init__(self) -> None:
        self._named = structlog.stdlib.LoggerFactory(ignore_frame_names=[__name__])

    def __call__(self, *given: Any) -> _Lines:
        return _Lines(self._named(*given).name)


class _Safely:
    """A renderer that never raises: of a line that can't be rendered, the plain texts are left."""

    def __init__(self, renderer: Any):
        self._renderer = renderer

    def __call__(self, logger: Any, method: str, event: Mapping[str, Any]) -> str:
        try:
            # The renderer takes what it has written out of the dictionary.
            return str(self._renderer(logger, method, dict(event)))
        except Exception as error:
            plain = {key: value for key, value in event.items() if isinstance(value, str)}
            return str(self._renderer(logger, method, {**plain, "unlogged": type(error).__name__}))


_NAMED = 20


def some_of(names: Iterable[str]) -> list[str]:
    """The names for a line of the log: of very many the first, and how many more there are."""
    found = list(names)
    return found if len(found) <= _NAMED else [*found[:_NAMED], f"and {len(found) - _NAMED} more"]


def configure_logging(log_format: str | None, process: str) -> None:
    """Sends all of this process's logs, including libraries', to stderr, rendered by structlog.

    `log_format` is ``text``, ``json`` or None for text on a terminal and JSON elsewhere; `process`
    (relay, worker, admin) appears in every line.
    """
    text = log_format == "text" or (log_format is None and sys.stderr.isatty())

    def add_process(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
        event.setdefault("process", process)
        return event

    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_process,
    ]
    renderer: Any = _console() if text else structlog.processors.JSONRenderer()
    formatted: list[Any] = [_visibly if text else structlog.processors.format_exc_info]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *formatted,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_LEVEL)
    # These log at INFO what is only worth a line when it fails.
    for noisy in ("urllib3", "conductor"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # It warns about every run that it skips because the last one isn't over, which is fine on a
    # busy machine.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    # Our own lines don't pass through `logging`, which takes two thirds of a line's time, and each
    # event has two.
    structlog.configure(
        processors=[*shared, *formatted, _Safely(renderer)],
        logger_factory=_LinesFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(_LEVEL),
        cache_logger_on_first_use=True,
    )
