"""Tokens of forms."""

from __future__ import annotations

import pytest

from api.dashboard import csrf

SECRET = bytes(range(32))


def test_a_token_is_good_for_its_secret_alone_and_never_the_same() -> None:
    tokens = {csrf.masked(SECRET) for _ in range(20)}
    assert len(tokens) == 20
    assert all(csrf.matches(token, SECRET) for token in tokens)
    assert not any(csrf.matches(token, bytes(32)) for token in tokens)


@pytest.mark.parametrize("token", ["", "x", "é", "AAAA"])
def test_anything_else_is_not(token: str) -> None:
    assert not csrf.matches(token, SECRET)


def test_nor_is_a_part_of_one_or_more_than_one() -> None:
    token = csrf.masked(SECRET)
    assert not csrf.matches(token[:-8], SECRET)
    assert not csrf.matches(token + "AAAA", SECRET)
