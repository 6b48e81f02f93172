"""Each method of the newest anthropic that sends something is known: metered and guarded, refused under a guard, or free.

A method that a new SDK brings fails here, and so does docs/metered_calls.csv where it does not name what costs money.
"""

from __future__ import annotations

import csv
import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from usage_metering.anthropic_usage import BATCHES, MESSAGES, UNMETERED, is_unmetered
from usage_metering.openai_usage import path_of
from usage_metering.stainless_client import VERBS

anthropic = pytest.importorskip("anthropic")

DOCS = Path(__file__).parents[2] / "docs" / "metered_calls.csv"
FREE = (
    *("/v1/messages/count_tokens", "/v1/messages/batches/{}/cancel"),
    *(
        "/v1/agents",
        "/v1/environments",
        "/v1/files",
        "/v1/memory_stores",
        "/v1/skills",
        "/v1/tunnels",
        "/v1/user_profiles",
    ),
    *("/v1/vaults", "/v1/organizations", "/v1/compliance"),
    *("/v1/deployments/{}", "/v1/deployments/{}/archive", "/v1/deployments/{}/pause"),
    *("/v1/dreams/{}/archive", "/v1/dreams/{}/cancel"),
    *("/v1/sessions/{}", "/v1/sessions/{}/archive", "/v1/sessions/{}/resources", "/v1/sessions/{}/resources/{}"),
    "/v1/sessions/{}/threads/{}/archive",
)
"""Paths of POST requests that cost nothing by themselves; of the second and third line also what is below them."""
_TREES = tuple(path for path in FREE if path.count("/") == 2)


def methods(kind: type, prefix: str = "") -> Iterator[tuple[str, Callable[..., Any]]]:
    """The public methods of a client's resources, with dotted names."""
    for name in sorted(dir(kind)):
        found = inspect.getattr_static(kind, name)
        if name.startswith(("_", "with_")):
            continue
        if inspect.isfunction(found):
            if prefix:
                yield prefix + name, found
        elif hasattr(found, "func"):
            returned = str(inspect.signature(found.func).return_annotation)
            imported = re.search(rf"from (\.[\w.]+) import {returned}\b", inspect.getsource(found.func))
            module = inspect.getmodule(found.func)
            known = getattr(module, returned, None)
            if known is None and imported is not None:
                known = getattr(importlib.import_module(imported[1], "anthropic"), returned)
            if isinstance(known, type):
                yield from methods(known, f"{prefix}{name}.")


def posted() -> dict[str, str]:
    """Method -> path of what it posts."""
    found = {}
    for name, method in methods(anthropic.Anthropic):
        source = inspect.getsource(method)
        if "self._post(" in source:
            path = re.search(r'"(/[^"\s]*)"', source.partition("self._post(")[2])
            assert path is not None, name
            found[name] = re.sub(r"\{\w+\}", "{}", path_of(path[1]))
    return found


POSTED = posted()


def is_free(path: str) -> bool:
    return path in FREE or any(path.startswith(f"{tree}/") for tree in _TREES)


def test_every_method_that_sends_something_is_known() -> None:
    assert len(POSTED) > 80
    known = {MESSAGES, BATCHES, *UNMETERED}
    assert {name: path for name, path in POSTED.items() if path not in known and not is_free(path)} == {}, (
        "does it cost money?"
    )
    assert not [path for path in FREE if is_unmetered(path.replace("{}", "x"))]
    assert {*UNMETERED} - {*POSTED.values()} == {"/v1/complete"}  # which the newest SDK has no method for any more


def test_whatever_the_client_sends_goes_through_its_request() -> None:
    """A way of sending that a new SDK brings fails here."""
    base = importlib.import_module("anthropic._base_client")
    for kind in (base.SyncAPIClient, base.AsyncAPIClient):
        calling = {
            name
            for name, method in vars(kind).items()
            if inspect.isfunction(method)
            and re.search(r"self\.(?:request|_request_api_list)\(", inspect.getsource(method))
        }
        assert calling | {"_request_api_list"} == {*VERBS}


def test_the_docs_name_what_costs_money() -> None:
    rows = csv.DictReader(DOCS.read_text().splitlines())
    said = {row["call"]: f"{row['metered']}, {row['with a guard']}" for row in rows if row["sdk"] == "anthropic"}
    expected = {name: "yes, room is reserved" for name, path in POSTED.items() if path in (MESSAGES, BATCHES)}
    expected |= {name: "no, refused" for name, path in POSTED.items() if path in UNMETERED}
    assert said == expected
