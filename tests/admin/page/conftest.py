"""What the tests of the page in a real browser share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from selenium.webdriver import Chrome


@pytest.fixture(scope="module")
def driver() -> Iterator[Chrome]:
    """Chromium. Its modules say what they skip without it."""
    from tests.admin.page import browser  # needs selenium, which other tests don't

    with browser.browser() as driver:
        yield driver
