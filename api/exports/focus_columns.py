"""The exported columns of `marts.focus_cost_and_usage`, in the order of the file. Those of ours begin with `x_`, as FOCUS asks.

The mart has those of FOCUS 1.2. What 1.3 adds is told by them, so it is written while exporting: the names that replace ProviderName
and PublisherName, which 1.3 deprecates and still wants, and of a charge that is a part of what a provider billed for several, how and
to whom it was allocated. Names and requirements: FinOps-Open-Cost-and-Usage-Spec/FOCUS_Spec, specification/datasets/cost_and_usage
(dataset.md, columns/*.md: "Introduced 1.3"). Columns for contract commitments, which nobody here has, are left out, as is
AllocatedMethodDetails, which 1.3 recommends: the mart keeps no charge's share of the provider's line item.
"""

from __future__ import annotations

from costs.rules.services import ITEMIZED

TEXT, DECIMAL, INSTANT = "text", "decimal", "instant"

SPECS = ("1.2", "1.3")
OLDEST = SPECS[0]

ALLOCATION_METHOD = "spread-by-estimated-cost"
"""What AllocatedMethodId says: docs/focus.md has the method under this name, and no other."""
UNATTRIBUTED = "unattributed"

COLUMNS: tuple[tuple[str, str], ...] = (
    ("BilledCost", DECIMAL),
    ("BillingAccountId", TEXT),
    ("BillingAccountName", TEXT),
    ("BillingAccountType", TEXT),
    ("BillingCurrency", TEXT),
    ("BillingPeriodEnd", INSTANT),
    ("BillingPeriodStart", INSTANT),
    ("ChargeCategory", TEXT),
    ("ChargeClass", TEXT),
    ("ChargeDescription", TEXT),
    ("ChargeFrequency", TEXT),
    ("ChargePeriodEnd", INSTANT),
    ("ChargePeriodStart", INSTANT),
    ("CommitmentDiscountStatus", TEXT),
    ("ConsumedQuantity", DECIMAL),
    ("ConsumedUnit", TEXT),
    ("ContractedCost", DECIMAL),
    ("ContractedUnitPrice", DECIMAL),
    ("EffectiveCost", DECIMAL),
    ("InvoiceId", TEXT),
    ("InvoiceIssuerName", TEXT),
    ("ListCost", DECIMAL),
    ("ListUnitPrice", DECIMAL),
    ("PricingCategory", TEXT),
    ("PricingCurrency", TEXT),
    ("PricingCurrencyContractedUnitPrice", DECIMAL),
    ("PricingCurrencyEffectiveCost", DECIMAL),
    ("PricingCurrencyListUnitPrice", DECIMAL),
    ("PricingQuantity", DECIMAL),
    ("PricingUnit", TEXT),
    ("ProviderName", TEXT),
    ("PublisherName", TEXT),
    ("ServiceCategory", TEXT),
    ("ServiceName", TEXT),
    ("ServiceSubcategory", TEXT),
    ("SkuId", TEXT),
    ("SkuMeter", TEXT),
    ("SkuPriceDetails", TEXT),
    ("SkuPriceId", TEXT),
    ("SubAccountId", TEXT),
    ("SubAccountName", TEXT),
    ("SubAccountType", TEXT),
    ("Tags", TEXT),
    ("x_Channel", TEXT),
    ("x_Component", TEXT),
    ("x_CostStatus", TEXT),
    ("x_Direction", TEXT),
    ("x_EstimatedCost", DECIMAL),
    ("x_Evidence", TEXT),
    ("x_Model", TEXT),
    ("x_Operation", TEXT),
    ("x_UnpricedQuantity", DECIMAL),
)

_BILLED_TOGETHER = (
    f"""focus."BillingAccountId" in ({", ".join(f"'{service}'" for service in ITEMIZED)})"""
    """ and focus."x_CostStatus" = 'billed' and focus."ChargeClass" is null and focus."x_Component" <> 'none'"""
)
_ALLOCATED = f"{_BILLED_TOGETHER} and focus.tenant_id <> '{UNATTRIBUTED}'"

ADDED: dict[str, str] = {
    "AllocatedMethodId": f"case when {_BILLED_TOGETHER} then '{ALLOCATION_METHOD}' end",
    # Of what is left to nobody there is no resource, and so no name of one.
    "AllocatedResourceId": f"case when {_ALLOCATED} then focus.tenant_id end",
    "AllocatedResourceName": f"""case when {_ALLOCATED} then focus."SubAccountName" end""",
    # What is known of a charge stands in Tags, and may not stand in both.
    "AllocatedTags": "null::text",
    # On whose machines a provider runs, it does not say: then both names may be one.
    "HostProviderName": """focus."ProviderName\"""",
    "ServiceProviderName": """focus."ProviderName\"""",
}
"""What FOCUS 1.3 adds, and how it is told by the mart's columns (as `focus`). All are text."""


def columns_of(spec: str) -> tuple[tuple[str, str], ...]:
    """Return the columns of a version of FOCUS with their kinds, in the order of the file: FOCUS's by name, then ours."""
    if spec == OLDEST:
        return COLUMNS
    added = [(name, TEXT) for name in ADDED]
    return tuple(sorted([*COLUMNS, *added], key=lambda column: (column[0].startswith("x_"), column[0])))


def selected(spec: str) -> str:
    """Return the list of a select from the mart, as `focus`, that has the version's columns under their names."""
    return ",\n".join(
        f'    {ADDED[name]} as "{name}"' if name in ADDED else f'    focus."{name}"' for name, _ in columns_of(spec)
    )
