"""The admin page that viewers attack."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.webhook_page import Page

SECRET = "somebody-elses-secret-0123456789"
STRONG = "9f86d081884c7d659a2feaa0c55ad015"


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Page:
    """A page that writes, beside another webhook's secret in the environment and in a file."""
    monkeypatch.setenv("OTHER_SECRET", SECRET)
    page = Page(tmp_path)
    (page.folder / "secrets").mkdir()
    (page.folder / "secrets" / "other").write_text(SECRET)
    return page
