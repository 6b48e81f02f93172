"""Holds what was tracked against what the provider says, for each tenant, day and service: rule 5.

Provider units are counted for the directory's tenant, tracked ones for the event's. AMBIGUITY marks the
readings of the words that were taken.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction

from tests.oracle.events import Quantity
from tests.oracle.records import UNATTRIBUTED, Directory
from tests.oracle.rules import Line
from tests.oracle.settlement import Group, Settlement
from tests.oracle.totals import Totals, by_tenant, is_reported

STATES = ("drift", "misattributed", "tracked_only", "partly_tracked", "provider_only", "price_pending", "matched")
Where = tuple[str, date, str]


@dataclass
class Cell:
    """One tenant, day and service. `deviating`: units by which matched records, or over-tracked closed groups,
    differ from the provider's; `residual`: units of aggregates that nobody tracked.
    """

    tolerance: Fraction
    provider_units: Quantity = 0
    tracked_units: Quantity = 0
    deviating: Quantity = 0
    residual: Quantity = 0
    untracked_records: int = 0
    misattributed: bool = False
    tracked_only: bool = False
    price_pending: bool = False

    @property
    def drift(self) -> Fraction:
        """Share of the provider's units."""
        return self._share(self.deviating)

    def _share(self, units: Quantity) -> Fraction:
        """AMBIGUITY: where the provider has nothing, anything is 100 %."""
        return Fraction(units) / Fraction(self.provider_units) if self.provider_units else Fraction(units != 0)

    @property
    def state(self) -> str:
        """The first of STATES that applies."""
        if self.drift > self.tolerance:
            return "drift"
        if self.misattributed:
            return "misattributed"
        if self.tracked_only:
            return "tracked_only"
        if self.untracked_records or self._share(self.residual) > self.tolerance:
            return "partly_tracked" if self.tracked_units else "provider_only"
        return "price_pending" if self.price_pending else "matched"


# In units of their own, beside their service's: compared only as far as they were tracked.
OF_THEIR_OWN = ("twilio_voice_recording", "cloudflare_r2_storage")
# AMBIGUITY: the days of numbers are not compared, of which only the first is ever tracked.
LEFT_OUT = "twilio_phone"


def kind_of(line: Line) -> str:
    """The `service` of a record's row: only like is compared with like."""
    return "twilio_voice_recording" if line.channel == "recording" else line.service


def reconcile(settled: Settlement, *, tolerance_percent: Decimal) -> dict[Where, Cell]:
    """Every cell that the provider or an event has something in; those with nothing in both sums, too."""
    cells: dict[Where, Cell] = defaultdict(lambda: Cell(Fraction(tolerance_percent) / 100))
    _records(settled, cells)
    for group in settled.groups:
        _aggregate(group, cells)
    return {where: cell for where, cell in cells.items() if where[2] != LEFT_OUT}


def control_totals(
    reported: Totals,
    counted: Totals,
    directory: Directory,
    *,
    tolerance_percent: Decimal,
    as_of: datetime,
    lookback: int,
) -> dict[Where, Cell]:
    """Twilio's own totals of each account against what its records come to; of closed days only.

    AMBIGUITY: accounts of one tenant do not make up for each other.
    """
    cells: dict[Where, Cell] = {}
    reported_by, counted_by = by_tenant(reported, directory), by_tenant(counted, directory)
    for where in reported_by.keys() | counted_by.keys():
        if is_reported(where[1], as_of, lookback):
            reported_units, counted_units = reported_by.get(where, {}), counted_by.get(where, {})
            cells[where] = Cell(
                Fraction(tolerance_percent) / 100,
                provider_units=sum(reported_units.values()),
                tracked_units=sum(counted_units.values()),
                deviating=sum(
                    abs(reported_units.get(a, 0) - counted_units.get(a, 0))
                    for a in reported_units.keys() | counted_units.keys()
                ),
            )
    return cells


def _records(settled: Settlement, cells: dict[Where, Cell]) -> None:
    """AMBIGUITY: a difference is the row's whose provider units it is; a price that is pending is pending for
    both tenants; every tenant that any of a record's events names is compared with the directory's.
    """
    for line in settled.untracked:
        if kind_of(line) in OF_THEIR_OWN:
            continue
        cell = cells[line.owner, line.day, kind_of(line)]
        cell.provider_units += line.units
        cell.untracked_records += 1
    for line, event in settled.matched:
        kind = kind_of(line)
        owners = cells[line.owner, line.day, kind]
        users = cells[line.tenant_id, line.day, kind]
        owners.provider_units += line.units
        # AMBIGUITY: an event that told no quantity (a call that had only begun) is taken for the record's.
        users.tracked_units += event.units if event.units > 0 else line.units
        if event.units > 0:
            owners.deviating += abs(event.units - line.units)
        if line.owner != UNATTRIBUTED:
            for other in event.tenants - {line.owner}:
                owners.misattributed = cells[other, line.day, kind].misattributed = True
        if line.billed is None:
            owners.price_pending = users.price_pending = True
    for line in settled.unmatched:
        cell = cells[line.tenant_id, line.day, kind_of(line)]
        cell.tracked_units += line.units
        cell.tracked_only = True


def _aggregate(group: Group, cells: dict[Where, Cell]) -> None:
    """Where the residual is below zero, that is drift (the contract).

    AMBIGUITY: drift and residual are told by the group (so that a misattributed event is no drift of the
    tenant that it names) and measured against the row's provider units; an unanswered day drifts from
    nothing.
    """
    kind = "cloudflare_r2_storage" if group.operation == "storage" else group.service
    if kind in OF_THEIR_OWN and not group.tracked:
        return
    owners = cells[group.owner, group.day, kind]
    given, tracked = group.units(group.provider), group.units(group.events)
    owners.provider_units += given
    if group.exact:
        owners.deviating += max(0, tracked - given)
    for line in group.lines:
        if line.evidence == "residual":
            owners.residual += max(0, line.units)
        elif line.evidence == "tracked" or given == 0:
            cells[line.tenant_id, group.day, kind].tracked_only = True
    for event in group.tracked:
        cells[group.tenant_of(event), group.day, kind].tracked_units += group.units(group.measures(event))
        if group.owner != UNATTRIBUTED:
            for other in event.tenants - {group.owner}:
                owners.misattributed = cells[other, group.day, kind].misattributed = True
