"""Since when calls of a kind have their effects, and for how long a target has failed alone."""

from __future__ import annotations

from store.rules.transitions import BREAK, Effects, after_effect, failed_alone, others_since

MINUTE = 60_000


def test_effects_without_a_break_are_one_spell() -> None:
    spell = after_effect(None, 0)
    for now in range(0, 60 * MINUTE, BREAK):
        spell = after_effect(spell, now)
    assert spell == Effects(0, 50 * MINUTE)


def test_a_break_begins_a_new_spell() -> None:
    assert after_effect(Effects(0, 5), 5 + BREAK + 1) == Effects(5 + BREAK + 1, 5 + BREAK + 1)


def test_a_clock_that_was_set_back_takes_nothing_back() -> None:
    assert after_effect(Effects(10, 100), 50) == Effects(10, 100)


def test_time_counts_in_which_the_target_failed_and_others_did_not() -> None:
    spell = Effects(10 * MINUTE, 60 * MINUTE)
    assert failed_alone(0, spell, 60 * MINUTE) == 50 * MINUTE
    assert failed_alone(30 * MINUTE, spell, 65 * MINUTE) == 35 * MINUTE


def test_nothing_counts_while_no_other_has_its_effect() -> None:
    assert failed_alone(0, None, 60 * MINUTE) == 0
    assert failed_alone(0, Effects(0, 60 * MINUTE), 60 * MINUTE + BREAK + 1) == 0


def test_an_effect_from_before_the_clock_was_set_back_says_nothing() -> None:
    """Otherwise an outage would count as a time in which others had their effects, until the clock
    is there again."""
    ahead = Effects(0, 10 * BREAK)
    assert failed_alone(2 * BREAK, ahead, 8 * BREAK) == 0
    assert after_effect(ahead, 8 * BREAK) == Effects(8 * BREAK, 8 * BREAK)


def test_only_effects_since_it_began_to_fail_show_that_others_go_on() -> None:
    assert others_since(10 * MINUTE, Effects(0, 12 * MINUTE), 15 * MINUTE) == 2 * MINUTE
    assert others_since(10 * MINUTE, Effects(0, 9 * MINUTE), 15 * MINUTE) == 0
    assert others_since(10 * MINUTE, None, 15 * MINUTE) == 0
    assert others_since(0, Effects(0, 60 * MINUTE), 60 * MINUTE + BREAK + 1) == 0
    assert others_since(0, Effects(0, 10 * BREAK), 8 * BREAK) == 0
