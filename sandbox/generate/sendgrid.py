"""Made-up SendGrid stats: a subuser per tenant, and a parent account whose totals include them and its own
mail, a part of which has the category of a tenant.
"""

from __future__ import annotations

import random
from datetime import date

from sandbox.generate.cast import Cast
from sandbox.generate.twilio import POOL
from sandbox.generate.volume import Volume
from sandbox.lists import Record

CATEGORY_SHARE = 0.6


def records(cast: Cast, volume: Volume, days: list[date], seed: int) -> dict[str, list[Record]]:
    """Subusers, their stats (no record on a day without mail), and the account's totals."""
    totals: dict[date, Record] = {day: _metrics(0, random.Random(0)) for day in days}
    per_subuser: list[Record] = []
    per_category: list[Record] = []
    categories = [tenant.mail_category for tenant in cast.tenants if tenant.mail_category]
    owners = [(t.subuser, t.role) for t in cast.tenants]
    for subuser, role in [*owners, (None, POOL)]:
        rng = random.Random(f"{seed}:sendgrid:{subuser}")
        for day, emails in zip(days, volume.daily(role, "email", days), strict=True):
            if emails == 0:
                continue
            metrics = _metrics(emails, rng)
            totals[day] = {name: totals[day][name] + value for name, value in metrics.items()}
            if subuser is None:
                per_category += _by_category(categories, day, emails, rng)
            else:
                per_subuser.append(
                    {
                        "date": day.isoformat(),
                        "subuser": subuser,
                        "metrics": metrics,
                        "_sandbox": {"grows": True},
                    }
                )
    return {
        "sendgrid_subusers": [
            {"id": 10_000 + number, "username": subuser, "email": f"{subuser}@example.com", "disabled": False}
            for number, (subuser, _) in enumerate(owners)
        ],
        "sendgrid_stats": [
            {"date": day.isoformat(), "metrics": metrics, "_sandbox": {"grows": True}}
            for day, metrics in totals.items()
        ],
        "sendgrid_subuser_stats": per_subuser,
        "sendgrid_category_stats": per_category,
    }


def _by_category(categories: list[str], day: date, emails: int, rng: random.Random) -> list[Record]:
    """What of the account's own mail was sent for tenants: in equal parts."""
    requests = int(emails * CATEGORY_SHARE) // max(len(categories), 1)
    return [
        {
            "date": day.isoformat(),
            "category": category,
            "metrics": _metrics(requests, rng),
            "_sandbox": {"grows": True},
        }
        for category in categories
        if requests
    ]


def _metrics(requests: int, rng: random.Random) -> Record:
    """A day of `requests` emails asked for; fewer are processed, and fewer delivered."""

    def part(whole: int, low: float, high: float) -> int:
        return int(whole * rng.uniform(low, high))

    dropped = part(requests, 0.0, 0.01)
    processed = requests - dropped
    bounces, blocks = part(processed, 0.0, 0.015), part(processed, 0.0, 0.01)
    delivered = processed - bounces - blocks
    opens, clicks = part(delivered, 0.25, 0.45), part(delivered, 0.02, 0.06)
    return {
        "blocks": blocks,
        "bounce_drops": dropped,
        "bounces": bounces,
        "clicks": clicks,
        "deferred": part(processed, 0.0, 0.03),
        "delivered": delivered,
        "invalid_emails": 0,
        "opens": opens,
        "processed": processed,
        "requests": requests,
        "spam_report_drops": 0,
        "spam_reports": part(delivered, 0.0, 0.001),
        "unique_clicks": clicks * 4 // 5,
        "unique_opens": opens * 3 // 5,
        "unsubscribe_drops": 0,
        "unsubscribes": part(delivered, 0.0, 0.003),
    }
