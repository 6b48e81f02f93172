"""Made-up Stripe balance transactions: card payments of the tenants' customers, their refunds, a dispute, Stripe's own fees.

The tenant on a subaccount has a connected account as well (direct charges, and a destination charge now and then); the others
are named by the charges' metadata, one of them charges in EUR; the pool's charges name nobody.
"""

from __future__ import annotations

import random
from datetime import date, timedelta
from decimal import Decimal

from sandbox.generate.cast import Cast, Tenant, hex_id
from sandbox.lists import Record
from sandbox.times import DAY, day_start

# Charges on a full weekday, at scale 1.
CHARGES = {"starter": 1, "pro": 2, "elite": 4, "agency": 3, "": 1}
POOL_CHARGES = 1
SMALLEST, LARGEST = 300, 4_000
RATE, FIXED, ABROAD = Decimal("0.029"), 30, Decimal("0.015")
REFUNDED, FOREIGN_CARD = 0.06, 0.1
DISPUTE_FEE = 1_500
EURO_RATE = Decimal("1.0842")
SETTLES_AFTER = 2 * DAY


def records(cast: Cast, days: list[date], scale: float, seed: int) -> dict[str, list[Record]]:
    """Connected accounts, and balance transactions by the account in whose list they are (None: the platform's)."""
    accounts, transactions = [], []
    for tenant in cast.tenants:
        rng = random.Random(f"{seed}:stripe:{tenant.tenant_id}")
        if tenant.stripe_account is not None:
            accounts.append(_account(tenant, cast))
        for day in days:
            for _ in range(
                _count(CHARGES[tenant.role.plan], day, scale, rng, is_quiet=tenant.role.status == "suspended")
            ):
                transactions += _payment(tenant, day, days[-1], rng)
        if tenant is cast.tenants[0]:
            transactions += [_dispute(one, days, rng) for one in transactions[:1]]
    rng = random.Random(f"{seed}:stripe:pool")
    for day in days:
        transactions += [
            _charge(day, rng.randrange(SMALLEST, LARGEST), rng, source={"metadata": {}})
            for _ in range(_count(POOL_CHARGES, day, scale, rng))
        ]
        if day.weekday() == 0:
            transactions.append(_own_fee(day, rng))
    return {"stripe_accounts": accounts, "stripe_balance_transactions": transactions}


def _count(weekday: int, day: date, scale: float, rng: random.Random, *, is_quiet: bool = False) -> int:
    wanted = weekday * scale * (0.1 if is_quiet else 0.4 if day.weekday() >= 5 else 1)
    return int(wanted) + (rng.random() < wanted % 1)


def _payment(tenant: Tenant, day: date, last: date, rng: random.Random) -> list[Record]:
    """A charge, and sometimes its refund a few days later."""
    amount = rng.randrange(SMALLEST, LARGEST)
    account = tenant.stripe_account
    source: Record = {"metadata": {} if account else {"tenant_id": tenant.tenant_id}}
    if account and rng.random() < 0.2:
        # A destination charge: made, and paid for, on the platform.
        source["transfer_data"] = {"amount": None, "destination": account}
        source["on_behalf_of"] = account
        account = None
    currency = "eur" if tenant.charges_euros else "usd"
    charge = _charge(day, amount, rng, source=source, account=account, currency=currency)
    transactions = [charge]
    if rng.random() < REFUNDED:
        refunded = day + timedelta(days=rng.randrange(1, 5))
        if refunded <= last:
            transactions.append(_refund(charge, refunded, rng))
    return transactions


def _charge(
    day: date, amount: int, rng: random.Random, *, source: Record, account: str | None = None, currency: str = "usd"
) -> Record:
    """``amount`` is what the customer paid, in minor units of ``currency``; the balance is in USD."""
    rate = None if currency == "usd" else EURO_RATE
    settled = amount if rate is None else int((amount * rate).quantize(Decimal(1)))
    share = RATE + (ABROAD if rate is not None or rng.random() < FOREIGN_CARD else 0)
    fee = int((settled * share).quantize(Decimal(1))) + FIXED
    created = day_start(day) + rng.randrange(DAY)
    charge = {
        "id": hex_id(rng, "ch_", 24),
        "object": "charge",
        "amount": amount,
        "amount_captured": amount,
        "amount_refunded": 0,
        "billing_details": {"address": None, "email": None, "name": "A. Customer", "phone": None},
        "captured": True,
        "created": created,
        "currency": currency,
        "disputed": False,
        "livemode": False,
        "on_behalf_of": None,
        "paid": True,
        "refunded": False,
        "status": "succeeded",
        "transfer_data": None,
        **source,
    }
    fees = [
        {
            "amount": fee,
            "application": None,
            "currency": "usd",
            "description": "Stripe processing fees",
            "type": "stripe_fee",
        }
    ]
    return _transaction("charge", created, settled, charge, rng, fees=fees, rate=rate, account=account)


def _refund(charge: Record, day: date, rng: random.Random) -> Record:
    """Stripe keeps the charge's fee, and takes none for the refund."""
    source = charge["source"]
    refund = {
        "id": hex_id(rng, "re_", 24),
        "object": "refund",
        "amount": source["amount"],
        "charge": source["id"],
        "created": day_start(day) + rng.randrange(DAY),
        "currency": source["currency"],
        "metadata": {},
        "status": "succeeded",
    }
    return _transaction(
        "refund",
        refund["created"],
        -charge["amount"],
        refund,
        rng,
        rate=charge["exchange_rate"],
        account=charge["account"],
    )


def _dispute(charge: Record, days: list[date], rng: random.Random) -> Record:
    created = min(charge["created"] + 3 * DAY, day_start(days[-1]) + DAY - 1)
    dispute = {
        "id": hex_id(rng, "dp_", 24),
        "object": "dispute",
        "amount": charge["source"]["amount"],
        "charge": charge["source"]["id"],
        "created": created,
        "currency": charge["source"]["currency"],
        "metadata": {},
        "status": "needs_response",
    }
    fees = [
        {
            "amount": DISPUTE_FEE,
            "application": None,
            "currency": "usd",
            "description": "Dispute fee",
            "type": "stripe_fee",
        }
    ]
    return _transaction("adjustment", created, -charge["amount"], dispute, rng, fees=fees, category="dispute")


def _own_fee(day: date, rng: random.Random) -> Record:
    """What Stripe takes apart from charges; it belongs to no charge and so to nobody."""
    created = day_start(day) + rng.randrange(DAY)
    return _transaction("stripe_fee", created, -rng.randrange(100, 900), None, rng, category="fee")


def _transaction(
    kind: str,
    created: int,
    amount: int,
    source: Record | None,
    rng: random.Random,
    *,
    fees: list[Record] | None = None,
    rate: Decimal | None = None,
    account: str | None = None,
    category: str | None = None,
) -> Record:
    fee = sum(detail["amount"] for detail in fees or [])
    return {
        "id": hex_id(rng, "txn_", 24),
        "object": "balance_transaction",
        "account": account,
        "amount": amount,
        "available_on": created + SETTLES_AFTER,
        "created": created,
        "currency": "usd",
        "description": None,
        "exchange_rate": rate,
        "fee": fee,
        "fee_details": fees or [],
        "net": amount - fee,
        "reporting_category": category or kind,
        "source": source,
        "status": "available",
        "type": kind,
    }


def _account(tenant: Tenant, cast: Cast) -> Record:
    return {
        "id": tenant.stripe_account,
        "object": "account",
        "charges_enabled": True,
        "country": "US",
        "created": day_start(cast.first) - DAY,
        "default_currency": "usd",
        "details_submitted": True,
        "metadata": {},
        "payouts_enabled": True,
        "type": "standard",
    }
