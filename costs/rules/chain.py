"""A hash chain: each link is a digest of the link before it and of one row, so that no row can change alone.

The links prove only what their last one, the root, is held against: who can write every table can make another chain. A root
that is kept elsewhere (a ticket, a mail to the accountant) settles it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Item:
    """One row that a chain covers: where it stands, its key as text, the sha256 of its content."""

    relation: str
    key: str
    digest: bytes


def start(previous_root: bytes, header: Mapping[str, object]) -> bytes:
    """Return the first link: of the chain before this one (empty: there is none) and of what this one is about."""
    text = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(previous_root + b"\0" + text.encode()).digest()


def follow(link: bytes, item: Item) -> bytes:
    """Return the link of ``item`` after ``link``. Neither relation nor key may hold a NUL, so that nothing can be moved
    between them.
    """
    return hashlib.sha256(b"\0".join((link, item.relation.encode(), item.key.encode(), item.digest))).digest()


def links(first: bytes, items: Iterable[Item]) -> Iterator[tuple[Item, bytes]]:
    """Yield each item with its link; the last link is the root."""
    link = first
    for item in items:
        link = follow(link, item)
        yield item, link


def broken(first: bytes, kept: Iterable[tuple[Item, bytes]]) -> Iterator[Item]:
    """Yield the items whose kept link is not the one that follows from the link before.

    After a broken one it goes on from the kept link, so that each is named once and those after it are not.
    """
    link = first
    for item, kept_link in kept:
        if follow(link, item) != kept_link:
            yield item
        link = kept_link
