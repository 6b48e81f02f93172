"""Each of our rules of FOCUS sees its fault, in the version that has it, and no other."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from api.exports.focus_columns import ADDED, COLUMNS, OLDEST, SPECS, columns_of, selected
from tests.focus.requirements import PRESENT, RULES, broken, charges, spec_of

CHARGE = {
    "BilledCost": "0.9",
    "BillingPeriodEnd": "2026-12-01T00:00:00Z",
    "BillingPeriodStart": "2026-11-01T00:00:00Z",
    "ChargeClass": None,
    "ChargePeriodEnd": "2026-11-21T00:00:00Z",
    "ChargePeriodStart": "2026-11-20T00:00:00Z",
    "ContractedCost": "1.0",
    "ContractedUnitPrice": "0.5",
    "ListCost": "1.0",
    "ListUnitPrice": "0.5",
    "PricingQuantity": "2.0",
    "ProviderName": "OpenAI",
    "PublisherName": "OpenAI",
    "SubAccountId": "acme",
    "Tags": '{"feature": "chat"}',
}
NEW = {
    "AllocatedMethodId": "spread-by-estimated-cost",
    "AllocatedResourceId": "acme",
    "AllocatedResourceName": "Acme",
    "AllocatedTags": None,
    "HostProviderName": "OpenAI",
    "ServiceProviderName": "OpenAI",
}
CHARGES: dict[str, dict[str, Any]] = {"1.2": CHARGE, "1.3": CHARGE | NEW}
UNPRICED = {"ListUnitPrice": None, "ContractedUnitPrice": None, "PricingQuantity": None}
UNALLOCATED = {"AllocatedMethodId": None, "AllocatedResourceId": None, "AllocatedResourceName": None}

OF_BOTH: list[tuple[str, dict[str, Any]]] = [
    ("ChargePeriodEnd-C-004-M", {"ChargePeriodEnd": "2026-11-19T00:00:00Z"}),
    ("BillingPeriodEnd-C-004-M", {"BillingPeriodEnd": "2026-11-01T00:00:00Z"}),
    ("ListCost-C-008-C", {**UNPRICED, "ContractedCost": "0.9"}),
    ("ContractedCost-C-008-C", {**UNPRICED, "ListCost": "0.9"}),
]
FAULTS: list[tuple[str, str, dict[str, Any]]] = [
    *(("1.2", id, changes) for id, changes in OF_BOTH),
    ("1.2", "ListCost-C-009-C", {"ListCost": "1.000000001"}),
    ("1.2", "ContractedCost-C-009-C", {"ContractedCost": "2"}),
    *(("1.3", f"CAU-{id}", changes) for id, changes in OF_BOTH),
    ("1.3", "CAU-ListCost-C-011-C", {"ListCost": "1.000000001"}),
    ("1.3", "CAU-ContractedCost-C-011-C", {"ContractedCost": "2"}),
    ("1.3", "CAU-ServiceProviderName-C-003-M", {"ServiceProviderName": None}),
    ("1.3", "HostProviderName: Allows nulls False", {"HostProviderName": None}),
    ("1.3", "CAU-AllocatedResourceId-C-004-C", {"AllocatedMethodId": None}),
    ("1.3", "CAU-AllocatedResourceId-C-005-C", {"SubAccountId": "unattributed"}),
    ("1.3", "CAU-AllocatedResourceId-C-006-C", {"AllocatedResourceId": None, "AllocatedResourceName": None}),
    ("1.3", "CAU-AllocatedResourceName-C-004-C", {**UNALLOCATED, "AllocatedResourceName": "Acme"}),
    ("1.3", "CAU-AllocatedResourceName-C-005-C", {"AllocatedResourceName": None}),
    ("1.3", "CAU-AllocatedTags-C-003-C", {**UNALLOCATED, "AllocatedTags": "{}"}),
    ("1.3", "CAU-AllocatedTags-C-006-M", {"AllocatedTags": '{"feature": "chat"}'}),
]


@pytest.mark.parametrize("spec", SPECS)
def test_a_charge_as_it_should_be_is_against_no_rule(spec: str) -> None:
    corrected = {"ChargeClass": "Correction", **UNPRICED, "ListCost": "7"}
    unpriced = {**UNPRICED, "ListCost": "0.9", "ContractedCost": "0.9"}
    unattributed = {"SubAccountId": "unattributed"} | (UNALLOCATED if spec == "1.3" else {})
    rounded = {"ListCost": "1.000000000000000001"}
    good = [CHARGES[spec] | changes for changes in ({}, corrected, unpriced, unattributed, rounded)]
    assert broken(good, spec) == {}


@pytest.mark.parametrize(("spec", "rule", "changes"), FAULTS)
def test_a_fault_is_named_by_its_rule_and_counted(spec: str, rule: str, changes: dict[str, Any]) -> None:
    faulty = CHARGES[spec] | changes
    assert broken([CHARGES[spec], faulty, faulty], spec) == {rule: 2}


def test_every_rule_has_a_fault_that_it_sees() -> None:
    for spec in SPECS:
        assert [rule.id for rule in RULES[spec]] == [id for version, id, _ in FAULTS if version == spec]


@pytest.mark.parametrize(("id", "column"), PRESENT["1.3"].items())
def test_a_column_that_is_left_out_is_named(id: str, column: str) -> None:
    charge = {name: value for name, value in CHARGES["1.3"].items() if name != column}
    assert broken([charge], "1.3") == {id: 1}


def test_a_later_version_has_all_columns_of_the_older_and_what_is_new_in_order() -> None:
    names = {spec: [name for name, _ in columns_of(spec)] for spec in SPECS}
    assert columns_of(OLDEST) == COLUMNS
    assert set(names["1.3"]) - set(names["1.2"]) == set(ADDED) == set(PRESENT["1.3"].values()) - set(names["1.2"])
    for spec in SPECS:
        own = [name for name in names[spec] if name.startswith("x_")]
        assert names[spec] == sorted(set(names[spec]) - set(own)) + own
        assert selected(spec).count('"AllocatedTags"') == (spec == "1.3")


def test_a_file_is_read_with_nulls_and_says_its_version(tmp_path: Path) -> None:
    for spec in SPECS:
        file = tmp_path / f"{spec}.csv"
        with file.open("w", newline="") as text:
            writer = csv.DictWriter(text, list(CHARGES[spec]))
            writer.writeheader()
            writer.writerow(CHARGES[spec])
        (row,) = charges(file)
        assert row == CHARGES[spec]
        assert spec_of(row) == spec
