"""Stripe's balance transactions as payments: one line each, what Stripe took for it as billed cost.

AMBIGUITY marks the readings of the words that were taken.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType

from tests.oracle.records import UNATTRIBUTED, Directory, Transaction, round_18
from tests.oracle.rules import Line

# Of Stripe's list of currencies, those whose minor unit is not a hundredth.
WHOLE = ("bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "ugx", "vnd", "vuv", "xaf", "xof", "xpf")
# Types of transactions that move money and are no payment, of which nothing is nothing in every currency.
MOVES = ("payout", "payout_failure", "transfer", "application_fee", "topup", "reserve_transaction")
# Types of transactions whose amount is a fee.
FEES = ("stripe_fee", "network_cost", "stripe_fx_fee", "tax_fee")
CHARGES = ("charge", "payment")
THOUSANDTHS = ("bhd", "jod", "kwd", "omr", "tnd")


def major(minor: int, currency: str) -> Fraction:
    """Minor units as an amount of the currency."""
    return Fraction(minor, 1 if currency in WHOLE else 1000 if currency in THOUSANDTHS else 100)


def in_usd(minor: int, transaction: Transaction) -> Fraction | None:
    """An amount of the transaction in USD; None where nothing says what it is in USD.

    `exchange_rate` is what the source's amount was multiplied by, so it leads back to USD if the source was in
    USD. AMBIGUITY: it is of whole amounts, not of minor units.
    """
    amount = major(minor, transaction.currency)
    if transaction.currency == "usd":
        return amount
    if transaction.source_currency == "usd" and transaction.exchange_rate:
        return amount / Fraction(transaction.exchange_rate)
    return None


def moved(transaction: Transaction) -> Fraction | None:
    """What `percentage` is of, in USD. AMBIGUITY: the amount as it comes, of a refund below 0; of a transaction that
    is a fee, the fee (one that is given back is below 0).
    """
    minor = -transaction.amount if transaction.type in FEES else transaction.amount
    return in_usd(minor, transaction)


def taken(transaction: Transaction) -> Decimal | None:
    """What Stripe took, in USD: its fee without the platform's part; the amount itself where that is the fee.

    None is what nobody can convert. AMBIGUITY: a payment is set aside as a whole, also where Stripe took nothing.
    """
    minor = transaction.fee - transaction.application_fee
    if transaction.type in FEES:
        minor -= transaction.amount
    usd = in_usd(minor, transaction) if minor or transaction.type not in MOVES else Fraction(0)
    return None if usd is None else round_18(usd)


def transaction_tenant(
    transaction: Transaction,
    directory: Directory,
    charges: Mapping[str, Transaction],
    named: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """`charges`: the transactions by their source. `named`: the tenants that tracked events give, by id.

    What is about a charge goes where the charge goes, as of the charge's day; only where that is nobody's it is
    asked itself. AMBIGUITY: the account that a charge is made for counts as the connected account does, before
    metadata; a tenant in the metadata that nobody has heard of is none.
    """

    def owner(one: Transaction) -> str | None:
        day = one.created.date()
        return (
            directory.owner("stripe", "account", one.account, day)
            or directory.owner("stripe", "account", one.destination, day)
            or (one.named if one.named in directory.versions else None)
        )

    about = charges.get(transaction.charge) if transaction.type not in CHARGES else None
    of_charge = named.get(about.id) or owner(about) if about else None
    return named.get(transaction.id) or of_charge or owner(transaction) or UNATTRIBUTED


def operations(transactions: Iterable[Transaction]) -> dict[str, str]:
    """Each one's operation, by id: its type, but for adjustments that carry no fee.

    AMBIGUITY: a dispute's fee comes with each adjustment that bears one, else with the first that takes money; of
    an adjustment without a category it is not known that it is no dispute's.
    """
    found = {t.id: t.type for t in transactions}
    disputes: dict[str, list[Transaction]] = defaultdict(list)
    for t in transactions:
        if t.type == "adjustment":
            found[t.id] = "adjustment_without_fee"
            if t.category in ("", "dispute") and (t.fee > 0 or t.amount <= 0):
                disputes[t.charge or t.source or t.id].append(t)
    for several in disputes.values():
        first = min(several, key=lambda t: (t.fee <= 0, t.created, t.id))
        for with_fee in (first, *(t for t in several if t.fee > 0)):
            found[with_fee.id] = "adjustment"
    return found


def stripe_lines(
    transactions: Iterable[Transaction],
    directory: Directory,
    named: Mapping[str, str] = MappingProxyType({}),
) -> list[Line]:
    """A line for each transaction, whatever its type."""
    stored = list(transactions)
    charges = {t.source: t for t in stored if t.source and t.type in CHARGES}
    kinds = operations(stored)
    return [
        Line(
            tenant_id=transaction_tenant(t, directory, charges, named),
            owner=transaction_tenant(t, directory, charges),
            record=t.id,
            day=_day(t),
            channel="payments",
            service="stripe",
            operation=kinds[t.id],
            direction="none",
            source="stripe",
            evidence="provider",
            units=1,
            requests=1,
            amount=moved(t),
            billed=taken(t),
        )
        for t in stored
    ]


def _day(transaction: Transaction) -> date:
    return transaction.created.date()
