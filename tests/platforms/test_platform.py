"""What platforms declare."""

from __future__ import annotations

from dataclasses import fields

import pytest

from platforms import PLATFORMS
from tests.config import platforms as loaders


@pytest.mark.parametrize("rules", loaders.PLATFORMS.values(), ids=lambda rules: rules.name)
def test_the_loaders_tests_go_by_the_rules_that_the_platforms_have(rules: loaders.Rules) -> None:
    platform = PLATFORMS[rules.name]
    for field in fields(rules):
        mine, its = getattr(rules, field.name), getattr(platform, field.name)
        if field.name == "find_secret_problem":
            mine, its = mine is None, its is None
        assert mine == its, field.name
