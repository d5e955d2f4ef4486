"""How long events are kept, and what a platform repeats."""

from __future__ import annotations

from admin.check.retention import on_retention


def test_a_retention_within_which_platforms_repeat_deliveries_is_a_warning() -> None:
    [found] = on_retention(2 * 3600.0)
    assert found.level == "warning"
    assert str(found) == (
        "what a platform delivers again more than 2h later is an event again; "
        "write 1d or more: platforms repeat deliveries for hours or days"
    )
    assert on_retention(86_400.0) == []
