"""What a provider answered for: the unit of replacement is table × account × UTC day.

A source marks a unit answered once its day was read to the last page; everything expected and not marked stays as it is in
`raw`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from ingestion.sources.columns import Rejected


@dataclass(frozen=True, order=True)
class Unit:
    """One account's one day of one table."""

    table: str
    account_id: str
    usage_date: date


@dataclass
class Reading:
    """The record of one read of a provider's window, kept while its sources are extracted.

    Attributes:
        expected: the units that the window asks for.
        answered: those that the provider answered for, with how many records of each were set aside.
        rejected: what was set aside.
        errors: one line each, in the order in which they happened; the first is what people are shown.
        listings: tables that are a complete listing of an account rather than days (account ids).
        taken: the answered units that `take` has returned.
    """

    expected: set[Unit] = field(default_factory=set)
    answered: dict[Unit, int] = field(default_factory=dict)
    rejected: list[tuple[Unit, Rejected]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    listings: dict[str, set[str]] = field(default_factory=dict)
    taken: set[Unit] = field(default_factory=set)

    def answer(self, unit: Unit, rejected: list[Rejected]) -> None:
        """Mark ``unit`` answered, with the records that were set aside; a second answer replaces the first."""
        if unit in self.answered:
            self.rejected = [entry for entry in self.rejected if entry[0] != unit]
        self.answered[unit] = len(rejected)
        self.rejected += [(unit, entry) for entry in rejected]

    def take(self) -> Reading:
        """Return what was answered since the last call, to be made visible; it does not change any more."""
        answered = {unit: rejected for unit, rejected in self.answered.items() if unit not in self.taken}
        self.taken |= answered.keys()
        return Reading(
            answered=answered,
            rejected=[entry for entry in self.rejected if entry[0] in answered],
            listings={
                table: accounts & {unit.account_id for unit in answered if unit.table == table}
                for table, accounts in self.listings.items()
            },
        )

    def fail(self, error: object) -> None:
        """Keep an error; the units it concerns stay unanswered."""
        self.errors.append(str(error))

    @property
    def unanswered(self) -> set[Unit]:
        """The expected units without an answer."""
        return self.expected - self.answered.keys()


@dataclass(frozen=True)
class SourceSpec:
    """What is fixed about a provider.

    Attributes:
        tables: the raw tables it fills.
        keyed: those whose records have an id of their own, which may move between days, with the columns that make it up: last the id by
            which tracked events name it.
        held: those that list what is held now, whole, rather than what was used on a day.
        totals: those that say again what the others say, as control totals: held against them, never counted.
        others: by table, a query of the days beside its own that a load says something new about: a charge says whose its refunds are.
            ``{dataset}`` is the load's schema; it runs before the load replaces what is stored.
        asked_later: by table, which of its records others of a later month may ask whose they are: they stay in `raw` when their month is
            archived. A condition on its columns; ``%(last)s`` is the month's last day.
        part_of: by table, the column that names the record which a record is a part of.
        counted_at: by table, the column that says when the provider counted: of a day that it says again, all that is news is that the day
            was over by then.
        retention_days: how far back it can be asked; older days are not asked for, and stay. None: no limit known.
        required_variables: without them it is skipped.
    """

    tables: tuple[str, ...]
    keyed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    held: tuple[str, ...] = ()
    totals: tuple[str, ...] = ()
    others: Mapping[str, str] = field(default_factory=dict)
    asked_later: Mapping[str, str] = field(default_factory=dict)
    part_of: Mapping[str, str] = field(default_factory=dict)
    counted_at: Mapping[str, str] = field(default_factory=dict)
    retention_days: int | None = None
    required_variables: tuple[str, ...] = ()


def describe(units: set[Unit]) -> str:
    """Return unanswered units in a few words: tables, and up to three days."""
    tables = ", ".join(sorted({unit.table for unit in units}))
    days = sorted({unit.usage_date for unit in units})
    shown = ", ".join(day.isoformat() for day in days[:3]) + (", …" if len(days) > 3 else "")
    return f"{len(days)} day(s) of {tables} not answered for ({shown})"
