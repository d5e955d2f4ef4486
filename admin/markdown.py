"""The few marks of the platforms' READMEs as HTML: code, emphasis and links; everything else is text."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

_MARKS = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*|\*([^*]+)\*|\[([^\]]+)\]\(([^)]+)\)")


def as_html(text: str) -> Markup:
    """One paragraph. Only https links become links; of others the text remains."""
    made, at = Markup(), 0
    for match in _MARKS.finditer(text):
        made += escape(text[at : match.start()])
        code, strong, soft, words, url = match.groups()
        if code is not None:
            made += Markup("<code>{}</code>").format(code)
        elif strong is not None:
            made += Markup("<strong>{}</strong>").format(strong)
        elif soft is not None:
            made += Markup("<em>{}</em>").format(soft)
        elif url.startswith("https://"):
            made += Markup('<a href="{}" rel="noreferrer">{}</a>').format(url, as_html(words))
        else:
            made += as_html(words)
        at = match.end()
    return made + escape(text[at:])


def as_text(text: str) -> str:
    """One paragraph for a terminal."""
    return _MARKS.sub(lambda match: as_text(next(filter(None, match.groups()))), text)
