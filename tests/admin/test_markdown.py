"""Texts of the platforms' guides as HTML and as plain text."""

from __future__ import annotations

from admin.markdown import as_html, as_text


def test_nothing_of_a_text_becomes_markup_but_its_few_marks() -> None:
    text = "Set `a<b>`, **now**, *softly*, [there](https://x.example/?a=1&b=2) and [here](javascript:alert(1)) <b>"
    html = as_html(text)
    assert "<code>a&lt;b&gt;</code>" in html
    assert "<strong>now</strong>" in html
    assert "<em>softly</em>" in html
    assert '<a href="https://x.example/?a=1&amp;b=2" rel="noreferrer">there</a>' in html
    assert "javascript" not in html
    assert html.endswith("&lt;b&gt;")
    assert as_text("Set `a`, **now**") == "Set a, now"
    assert as_html("see [`respond`](../a.md)") == "see <code>respond</code>"
    assert as_text("see [`respond`](../a.md)") == "see respond"
