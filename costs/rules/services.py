"""What can be used and paid for: the channels with their units, and the services with what a price may be the price of.

All of it follows from the meter catalogue, `dbt_project/seeds/meters.csv`; `_seeds.yml` beside it has the columns.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

CATALOGUE = Path(__file__).parents[2] / "dbt_project" / "seeds" / "meters.csv"


def _read() -> tuple[dict[str, str], ...]:
    with CATALOGUE.open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


METERS = _read()
"""The catalogue's rows; a service's usual meter is its first."""

UNITS = {
    row["channel"]: row["unit"]
    for row in sorted(METERS, key=lambda row: int(row["shown"]))
    if row["is_channel_unit"] == "true"
}
"""Channel -> what it is counted in; in the order in which people are shown them."""

CHANNELS = tuple(UNITS)

PRICE_DAYS = {row["channel"]: row["price_days"] for row in METERS}
"""Channel -> how many days a unit price is for: `month` (as many as the day's month has), or a number."""

PROVIDER_OF = {row["service"]: row["provider"] for row in METERS}
"""Service -> its provider, as the tenant directory names it (dbt's `provider_of`)."""

TOKEN_COMPONENTS = tuple(next(row["price_components"] for row in METERS if row["unit"] == "tokens").split())

ITEMIZED = tuple(dict.fromkeys(row["service"] for row in METERS if row["bills"] == "items"))
"""Services whose provider tells what it bills apart from their usage, by line item."""

COUNTED = tuple(
    operation
    for row in METERS
    if row["service"] == "openai" and row["unit"] != "tokens"
    for operation in row["operations"].split()
)
"""Operations of OpenAI that are not counted in tokens."""


SETTLED = tuple(dict.fromkeys(row["service"] for row in METERS if row["keeps"] in ("records", "sums")))
"""Services of which a provider tells later what was tracked: until then it is provisional (dbt's `is_provisional`)."""


@dataclass(frozen=True, slots=True)
class Service:
    """What is used of a provider.

    Attributes:
        channels: where its usage is counted, the usual one first.
        operations: what a price may name; None where the provider's list is open (a SKU, a number's kind, a transaction's type).
        components: what its prices are made of.
        bills_records: whether the provider says what each record costs.
    """

    channels: tuple[str, ...]
    operations: tuple[str, ...] | None = None
    components: tuple[str, ...] = ("unit",)
    bills_records: bool = False

    @property
    def prices_tokens(self) -> bool:
        """Whether what is counted in tokens is priced by their kind: in, cached, out."""
        return "input" in self.components


def _service(name: str) -> Service:
    rows = [row for row in METERS if row["service"] == name]
    usual, lists = rows[0], [row["operations"].split() for row in rows]
    return Service(
        channels=tuple(dict.fromkeys(row["channel"] for row in rows)),
        operations=tuple(name for names in lists for name in names) if all(lists) else None,
        components=tuple(usual["price_components"].split()),
        bills_records=usual["bills"] == "records",
    )


SERVICES = {name: _service(name) for name in dict.fromkeys(row["service"] for row in METERS)}
