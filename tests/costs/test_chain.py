"""The hash chain: whatever one changes, one link does not follow, and it is the one of what was changed."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from costs.rules.chain import Item, broken, follow, links, start

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=6)
ITEMS = st.lists(st.builds(Item, TEXT, TEXT, st.binary(min_size=32, max_size=32)), min_size=1, max_size=8)
HEADER = {"month": "2026-10", "days": ["2026-10-01", "2026-10-31"]}


@given(ITEMS)
def test_a_chain_follows_from_itself(items: list[Item]) -> None:
    first = start(b"", HEADER)
    assert list(broken(first, links(first, items))) == []


@given(ITEMS, st.data())
def test_a_changed_item_is_the_one_that_is_named(items: list[Item], data: st.DataObject) -> None:
    first = start(b"", HEADER)
    kept = list(links(first, items))
    at = data.draw(st.integers(0, len(items) - 1))
    field = data.draw(st.sampled_from(("relation", "key", "digest")))
    old = getattr(kept[at][0], field)
    new = old + (b"x" if field == "digest" else "x")
    kept[at] = (replace(kept[at][0], **{field: new}), kept[at][1])
    assert list(broken(first, kept)) == [kept[at][0]]


@given(ITEMS, st.data())
def test_an_item_that_is_taken_out_breaks_the_next_link_or_the_root(items: list[Item], data: st.DataObject) -> None:
    first = start(b"", HEADER)
    kept = list(links(first, items))
    at = data.draw(st.integers(0, len(items) - 1))
    rest = kept[:at] + kept[at + 1 :]
    assert list(broken(first, rest)) == [item for item, _ in kept[at + 1 : at + 2]]
    if at == len(items) - 1:
        assert (rest[-1][1] if rest else first) != kept[-1][1]


def test_the_first_link_is_of_the_month_and_of_the_chain_before() -> None:
    links_of = {
        start(b"", HEADER),
        start(b"before", HEADER),
        start(b"", HEADER | {"month": "2026-11"}),
        start(b"", HEADER | {"days": ["2026-10-02", "2026-10-31"]}),
    }
    assert len(links_of) == 4


def test_nothing_moves_between_a_relation_and_a_key() -> None:
    first = start(b"", HEADER)
    assert follow(first, Item("ab", "c", b"d")) != follow(first, Item("a", "bc", b"d"))
    assert follow(first, Item("a", "b", b"cd")) != follow(first, Item("a", "bc", b"d"))
