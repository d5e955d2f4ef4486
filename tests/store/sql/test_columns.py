"""Readers of columns: a value that another program wrote is never taken for what it isn't."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from store.sql.columns import Unreadable, json_of, object_of
from store.sql.storable import Foreign


@pytest.mark.parametrize("read", [json_of("headers", str), object_of("claims")])
@pytest.mark.parametrize("make", [Foreign, str.encode])
def test_json_that_was_not_text_in_utf8_is_unreadable(
    read: Callable[[Any], object], make: Callable[[str], object]
) -> None:
    assert read('{"a": "x"}') == {"a": "x"}
    with pytest.raises(Unreadable):
        read(make('{"a": "x\ufffd"}'))
