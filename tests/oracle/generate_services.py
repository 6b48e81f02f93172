"""Nasty data of the services beside messages, calls, tokens and subusers, in the sandbox's format.

Recordings, phone numbers, a closed account, Stripe, R2, SendGrid's categories and OpenAI's other endpoints; and the
directory's rows for them. Nothing here knows how a number is computed.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from email.utils import format_datetime

from tests.oracle.records import Json, instant

MAIN, SUBACCOUNT, LOOSE = ("AC" + "0" * 31 + digit for digit in "123")
CLOSED = "AC" + "0" * 31 + "4"
HELD = {
    "new": "+14155550110",
    "toll free": "+18335550111",
    "toll free unsaid": "+18445550112",
    "mobile": "+447700900123",
    "released": "+14155550113",
    "exchanged": "+14155550114",
    "taken again": "+14155550115",
    "for a moment": "+14155550116",
    "bought today": "+14155550117",
    "bought tomorrow": "+14155550118",
    "a day of two accounts": "+14155550119",
}
ACCOUNTS = ("acct_acme", "acct_passed", "acct_stranger")
BUCKETS = ("bucket-acme", "bucket-passed", "bucket-nobodys", "eu_bucket-ember")
CATEGORIES = ("mail-ember", "mail-passed", "mail-late", "mail-strangers")
ACTIONS = (
    "PutObject", "ListObjects", "UploadPart", "CopyObject", "LifecycleStorageTierTransition", "GetObject", "HeadObject",
    "UsageSummary", "DeleteObject", "AbortMultipartUpload", "PutBucketCors", "GetBucketCors", "RestoreFromTheFuture",
)  # fmt: skip
STATUS_CODES = (("success", 200), ("userError", 404), ("userError", 401), ("userError", 403), ("userError", 412))
# Endpoint → its measure, the models, whether it tells a key, whether it tells model requests, the largest quantity.
COUNTED: dict[str, tuple[str, tuple[str, ...], bool, bool, int]] = {
    "images": ("images", ("gpt-image-1", "dall-e-3"), True, True, 60),
    "audio_speeches": ("characters", ("tts-1", "gpt-4o-mini-tts"), True, True, 90_000),
    "audio_transcriptions": ("seconds", ("whisper-1",), True, True, 7_000),
    "moderations": ("input_tokens", ("omni-moderation-2024-09-26", "text-moderation-007"), True, True, 5_000),
    "vector_stores": ("usage_bytes", (), False, False, 9_000_000_000),
    "code_interpreter_sessions": ("num_sessions", (), False, False, 20),
    "file_search_calls": ("num_requests", (), True, False, 90),
    "web_search_calls": ("num_requests", ("gpt-4o-mini-2024-07-18", "gpt-5"), True, True, 40),
}
OTHERS = ("payout", "payout_failure", "transfer", "application_fee", "topup", "reserve_transaction", "adjustment")
PROJECTS = ("proj_acme", "proj_acme_two", "proj_passed", "proj_shared", "proj_stranger", "proj_only_images")
KEYS = {"proj_shared": ("key_cirrus", "key_delta", "key_unlisted")}


@dataclass
class Stage:
    """What the methods of one scenario share. `turn`: the day on which things change hands; `readings`: the moments
    of the ingests, the last of which is as-of."""

    rng: random.Random
    days: list[date]
    turn: date
    as_of: datetime
    readings: list[datetime]
    files: dict[str, list[Json]]
    number: int = 0

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def id(self, prefix: str, length: int = 24) -> str:
        self.number += 1
        return prefix + f"{self.rng.getrandbits(64):016x}{self.number:012x}"[-length:]

    def at(self, day: date) -> datetime:
        second = self.rng.choice((0, 86399, *(self.rng.randrange(86400) for _ in range(4))))
        return datetime.combine(day, time(), UTC) + timedelta(seconds=second)


def resources(turn: date) -> list[tuple[str, str, str, str, str, str]]:
    """Rows of tenant_resources.csv: tenant, provider, type, id, from, to."""
    at, back = turn.isoformat(), (turn + timedelta(days=2)).isoformat()
    number = "phone_number"
    return [
        ("delta", "twilio", number, HELD["new"], at, ""),
        ("acme", "twilio", number, HELD["toll free"], "", at),
        ("boreal", "twilio", number, HELD["toll free"], at, ""),
        ("cirrus", "twilio", number, HELD["toll free unsaid"], "", ""),
        ("fjord", "twilio", number, HELD["mobile"], "", ""),
        ("boreal", "twilio", number, HELD["released"], "", ""),
        # In the subaccount it is cirrus's, whatever is said of the number.
        ("acme", "twilio", number, HELD["exchanged"], "", ""),
        ("ember", "twilio", number, HELD["taken again"], "", back),
        ("delta", "twilio", number, HELD["taken again"], back, ""),
        ("acme", "twilio", number, HELD["for a moment"], "", ""),
        ("gale", "twilio", number, HELD["bought today"], "", ""),
        ("gale", "twilio", number, HELD["bought tomorrow"], "", ""),
        ("boreal", "twilio", number, HELD["a day of two accounts"], "", ""),
        ("fjord", "twilio", "subaccount", CLOSED, "", at),
        ("acme", "stripe", "account", "acct_acme", "", ""),
        ("boreal", "stripe", "account", "acct_passed", "", at),
        ("ember", "stripe", "account", "acct_passed", back, ""),
        # Nobody else knows it: Stripe refuses to show it.
        ("cirrus", "stripe", "account", "acct_gone", "", ""),
        ("acme", "cloudflare", "bucket", "bucket-acme", "", ""),
        ("fjord", "cloudflare", "bucket", "bucket-passed", "", at),
        ("cirrus", "cloudflare", "bucket", "bucket-passed", back, ""),
        ("ember", "cloudflare", "bucket", "eu_bucket-ember", "", ""),
        ("ember", "sendgrid", "category", "mail-ember", "", ""),
        ("acme", "sendgrid", "category", "mail-passed", "", at),
        ("boreal", "sendgrid", "category", "mail-passed", at, ""),
        ("gale", "sendgrid", "category", "mail-late", at, ""),
    ]


def add(stage: Stage) -> None:
    """Everything; the messages, calls, subusers and projects are there already."""
    _recordings(stage)
    _numbers(stage)
    _stripe(stage)
    _r2(stage)
    _categories(stage)
    _counted(stage)


# --- Twilio -------------------------------------------------------------------------------------------------


def _rfc2822(at: datetime) -> str:
    return format_datetime(at.astimezone(UTC)).replace("-0000", "+0000")


def _recordings(stage: Stage) -> None:
    """Of a third of the calls, some twice; and a few of no call that is known."""
    rng = stage.rng
    for call in list(stage.files["twilio_calls"]):
        if not call["duration"] or int(call["duration"]) == 0:
            continue
        began = instant(call["start_time"])
        assert began is not None
        # A call about to end its day is recorded, so that the recording's day is another one.
        late = began.hour == 23 and began.minute == 59
        for _ in range(rng.choice((1, 1, 2)) if late or stage.chance(0.3) else 0):
            _recording(stage, began + timedelta(seconds=rng.choice((0, 1, 45))), call["sid"], call["account_sid"])
    for day in rng.sample(stage.days, 4):
        _recording(stage, stage.at(day), None, rng.choice((MAIN, SUBACCOUNT)))
        _recording(stage, stage.at(day), "CA" + "e" * 32, rng.choice((MAIN, LOOSE)))
    for seconds in (-1, 1):
        _recording(stage, stage.as_of - timedelta(hours=72, seconds=seconds), None, SUBACCOUNT, price=None)


def _recording(stage: Stage, at: datetime, call: str | None, account: str, **given: object) -> None:
    if at >= stage.as_of:
        return
    rng, sid = stage.rng, stage.id("RE", 32)
    recent = stage.as_of - at <= timedelta(hours=72)
    stage.files["twilio_recordings"].append(
        {
            "account_sid": account,
            "api_version": "2010-04-01",
            "call_sid": call,
            "channels": 1,
            "conference_sid": None if call else stage.id("CF", 32),
            "date_created": _rfc2822(at),
            "date_updated": _rfc2822(at + timedelta(seconds=9)),
            "duration": str(rng.choice((0, 1, 59, 60, 61, 119, 121, 3600))),
            "encryption_details": None,
            "error_code": None,
            "price": None
            if stage.chance(0.5 if recent else 0.1)
            else rng.choice(("-0.0025", "0.0050", "0.04", "0", "-0.00125")),
            "price_unit": rng.choice(("USD", "usd")),
            "sid": sid,
            "source": "DialVerb",
            "start_time": _rfc2822(at),
            "status": rng.choice(("completed", "completed", "completed", "deleted", "absent", "processing")),
            "subresource_uris": {},
            "uri": f"/2010-04-01/Accounts/{account}/Recordings/{sid}.json",
            **given,
        }
    )


def _numbers(stage: Stage) -> None:
    """Provisioned and released in the course of the window, seen by the readings or between two of them."""
    old = datetime(2020, 1, 1, tzinfo=UTC)
    bought = datetime.combine(stage.turn - timedelta(days=3), time(23, 59, 59), UTC)
    first, second = stage.readings[0], stage.readings[1]
    between = first + (second - first) / 2
    later = second + (stage.as_of - second) / 2
    _number(stage, "new", bought)
    _number(stage, "toll free", old, type="toll free")
    _number(stage, "toll free unsaid", old)
    _number(stage, "mobile", old, type="mobile")
    _number(stage, "released", old, until=between)
    _number(stage, "exchanged", old, until=between)
    _number(stage, "exchanged", old, since=between, account=SUBACCOUNT)
    _number(stage, "taken again", bought if bought < first else old, until=between)
    _number(stage, "taken again", later)
    _number(stage, "for a moment", between, until=between + timedelta(seconds=30))
    _number(stage, "bought today", stage.as_of - timedelta(seconds=1))
    _number(stage, "bought tomorrow", stage.as_of + timedelta(hours=1))
    # It is in both lists of a reading: given away while they are read.
    _number(stage, "a day of two accounts", old, until=second + timedelta(seconds=1))
    _number(stage, "a day of two accounts", old, since=second, account=LOOSE)


def _number(
    stage: Stage,
    name: str,
    created: datetime,
    *,
    account: str = MAIN,
    since: datetime | None = None,
    until: datetime | None = None,
    type: str | None = None,
) -> None:
    sid = f"PN{1000 + list(HELD).index(name):032x}" if created.year == 2020 else stage.id("PN", 32)
    script = {
        **({"visible_from": since.isoformat()} if since else {}),
        **({"vanishes_at": until.isoformat()} if until else {}),
    }
    stage.files["twilio_phone_numbers"].append(
        {
            "sid": sid,
            "account_sid": account,
            "phone_number": HELD[name],
            "friendly_name": name,
            "capabilities": {"voice": True, "sms": True, "mms": True, "fax": False},
            "date_created": _rfc2822(created),
            "date_updated": _rfc2822(created),
            "api_version": "2010-04-01",
            "beta": False,
            "origin": "twilio",
            "status": "in-use",
            "uri": f"/2010-04-01/Accounts/{account}/IncomingPhoneNumbers/{sid}.json",
            **({"type": type} if type else {}),
            **({"_sandbox": script} if script else {}),
        }
    )


# --- Stripe -------------------------------------------------------------------------------------------------


def _stripe(stage: Stage) -> None:
    rng = stage.rng
    for name in ACCOUNTS:
        stage.files["stripe_accounts"].append(
            {"id": name, "object": "account", "country": "US", "default_currency": "usd", "metadata": {}, "created": 1}
        )
    before = stage.days[0] - timedelta(days=1)
    charges = [_charge(stage, stage.at(before)) for _ in range(3)]
    for day in stage.days:
        fresh = [_charge(stage, stage.at(day)) for _ in range(rng.randrange(1, 5))]
        for about in rng.sample(charges, min(len(charges), rng.choice((0, 1, 2)))):
            _about(stage, stage.at(day), about)
        charges = [*charges[-20:], *fresh]
        if stage.chance(0.5):
            _fee(stage, stage.at(day))
        if stage.chance(0.4):
            _other(stage, stage.at(day))


def _charge(stage: Stage, at: datetime) -> Json:
    """A charge or another payment: direct, by metadata, for another account, in one currency or two."""
    rng = stage.rng
    amount = rng.choice((50, 99, 1_000, 1_999, 12_345, rng.randrange(50, 500_000)))
    account = rng.choice((None, None, *ACCOUNTS))
    paid, balance, rate = rng.choice(
        (
            ("usd", "usd", None),
            ("usd", "usd", None),
            ("usd", "usd", None),
            ("eur", "usd", Decimal("1.0842")),
            ("jpy", "usd", Decimal("0.0067")),
            ("usd", "eur", Decimal("0.92233")),
            ("usd", "eur", None),  # nobody says what it was converted by
            ("eur", "eur", None),
            ("gbp", "eur", Decimal("1.17")),  # no way back to dollars
            ("usd", "jpy", Decimal("149.37")),
            ("jpy", "jpy", None),
        )
    )
    settled = amount if rate is None else int(amount * rate)
    source: Json = {
        "id": stage.id("ch_"),
        "object": "charge",
        "amount": amount,
        "currency": paid,
        "metadata": rng.choice(
            ({}, {"tenant_id": "cirrus"}, {"tenant_id": "delta"}, {"tenant_id": "a stranger"}, {"order": "7"})
        ),
        "on_behalf_of": None,
        "transfer_data": None,
        "billing_details": {"name": "A. Customer", "email": "a@example.com"},
        "description": "must never be stored",
    }
    if account is None and stage.chance(0.3):
        destination = rng.choice(("acct_acme", "acct_passed", "acct_stranger"))
        source |= {"transfer_data": {"amount": None, "destination": destination}}
        if stage.chance(0.5):
            source["on_behalf_of"] = destination
    fee = -(-settled * 29 // 1000) + 30
    details = [_detail(fee, balance, "stripe_fee")]
    if account and stage.chance(0.4):
        details.append(_detail(rng.randrange(1, 900), balance, "application_fee"))
    if stage.chance(0.15):
        details.append(_detail(rng.randrange(1, 30), balance, "tax"))
    kind = rng.choice(("charge", "charge", "charge", "charge", "payment"))
    return _transaction(stage, at, kind, settled, source, account, currency=balance, rate=rate, details=details)


def _detail(amount: int, currency: str, kind: str) -> Json:
    return {"amount": amount, "application": None, "currency": currency, "description": kind, "type": kind}


def _about(stage: Stage, at: datetime, charge: Json) -> None:
    """A refund or a dispute of a charge, of more than it was, or with a fee given back."""
    rng = stage.rng
    kind = rng.choice(("refund", "refund", "adjustment"))
    amount = -rng.choice((1, charge["amount"], charge["amount"] * 3, charge["amount"] // 2 + 1))
    source = {
        "id": stage.id("re_" if kind == "refund" else "dp_"),
        "object": "refund" if kind == "refund" else "dispute",
        "amount": -amount,
        "charge": charge["source"]["id"],
        "currency": charge["source"]["currency"],
        "metadata": rng.choice(({}, {}, {}, {"tenant_id": "fjord"})),
    }
    details = []
    if kind == "adjustment":
        details = [_detail(1_500, charge["currency"], "stripe_fee")]
    elif stage.chance(0.2):
        details = [_detail(-rng.randrange(1, 99), charge["currency"], "stripe_fee")]
    _transaction(
        stage,
        at,
        kind,
        amount,
        source,
        charge["account"],
        currency=charge["currency"],
        rate=charge["exchange_rate"],
        details=details,
    )


def _fee(stage: Stage, at: datetime) -> None:
    """What Stripe takes by itself, or gives back."""
    amount = stage.rng.choice((-500, -1, -23_456, 300))
    account = stage.rng.choice((None, "acct_acme", "acct_passed"))
    kind = stage.rng.choice(("stripe_fee", "stripe_fee", "network_cost", "stripe_fx_fee", "tax_fee"))
    _transaction(stage, at, kind, amount, None, account, currency=stage.rng.choice(("usd", "usd", "eur")))


def _other(stage: Stage, at: datetime) -> None:
    """Money that is moved without being a payment, and an adjustment of nothing that is known."""
    kind = stage.rng.choice(OTHERS)
    source: Json | str | None = stage.rng.choice((None, stage.id("po_"), {"id": stage.id("po_"), "object": kind}))
    account = stage.rng.choice((None, "acct_acme"))
    currency = stage.rng.choice(("usd", "usd", "usd", "eur"))
    _transaction(stage, at, kind, stage.rng.choice((-10_000, 250)), source, account, currency=currency)


def _transaction(
    stage: Stage,
    at: datetime,
    kind: str,
    amount: int,
    source: Json | str | None,
    account: str | None,
    *,
    currency: str = "usd",
    rate: Decimal | None = None,
    details: list[Json] | None = None,
) -> Json:
    fee = sum(d["amount"] for d in details or [])
    created = int(at.timestamp())
    record: Json = {
        "id": stage.id("txn_"),
        "object": "balance_transaction",
        "account": account,
        "amount": amount,
        "available_on": created + 172_800,
        "created": created,
        "currency": currency,
        "description": None,
        "exchange_rate": None if rate is None else float(rate),
        "fee": fee,
        "fee_details": details or [],
        "net": amount - fee,
        "reporting_category": kind,
        "source": source,
        "status": "available",
        "type": kind,
    }
    if at < stage.as_of:
        stage.files["stripe_balance_transactions"].append(record)
    return record


# --- R2 -----------------------------------------------------------------------------------------------------


def _r2(stage: Stage) -> None:
    rng = stage.rng
    for bucket in BUCKETS:
        size = rng.randrange(1, 90_000_000_000)
        for day in stage.days:
            counts: dict[tuple[str, datetime, str, int], int] = defaultdict(int)
            for action in rng.sample(ACTIONS, rng.randrange(0, 6)):
                for _ in range(rng.choice((1, 2))):
                    status, code = rng.choice(STATUS_CODES)
                    counts[action, stage.at(day), status, code] += rng.choice((1, 3, 1_000_001, rng.randrange(1, 999)))
            for (action, at, status, code), requests in counts.items():
                stage.files["r2_operations"].append(
                    {
                        "bucketName": bucket,
                        "datetime": _iso(at),
                        "actionType": action,
                        "actionStatus": status,
                        "responseStatusCode": code,
                        "requests": requests,
                    }
                )
            # Days without a measurement; the peak early, late, or of metadata alone; and a bucket emptied.
            for at in {stage.at(day) for _ in range(rng.choice((0, 1, 2, 4)))}:
                size = rng.choice((0, 1, size, size + rng.randrange(10**9), rng.randrange(10**12)))
                stage.files["r2_storage"].append(
                    {
                        "bucketName": bucket,
                        "datetime": _iso(at),
                        "payloadSize": size,
                        "metadataSize": rng.choice((0, 120, 10**9 + 1)) if size else 0,
                        "objectCount": 3,
                        "uploadCount": 0,
                    }
                )


def _iso(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


# --- SendGrid -----------------------------------------------------------------------------------------------


def _categories(stage: Stage) -> None:
    """Less than what the account sent by itself, as much, and more than that."""
    rng = stage.rng
    for day in stage.days:
        for name in CATEGORIES:
            if stage.chance(0.7):
                count = rng.choice((0, 1, 2, 3, rng.randrange(12), rng.randrange(60)))
                stage.files["sendgrid_category_stats"].append(
                    {"date": day.isoformat(), "category": name, "metrics": {"requests": count, "processed": count}}
                )


# --- OpenAI -------------------------------------------------------------------------------------------------


def _counted(stage: Stage) -> None:
    rng = stage.rng
    for day in stage.days:
        for endpoint, (measure, models, keyed, requested, largest) in COUNTED.items():
            for project in rng.sample(PROJECTS, rng.choice((0, 0, 1, 2))):
                for model in models[: rng.choice((1, 2))] or (None,):
                    quantity = rng.choice((0, 1, rng.randrange(largest)))
                    key = rng.choice(KEYS.get(project, (f"key_of_{project}",)))
                    stage.files[f"openai_usage_{endpoint}"].append(
                        {
                            "object": f"organization.usage.{endpoint}.result",
                            measure: quantity,
                            **({"num_model_requests": min(quantity, rng.randrange(1, 9))} if requested else {}),
                            "project_id": project,
                            **({"user_id": None, "api_key_id": key} if keyed else {}),
                            **({"model": model} if model else {}),
                            **({"size": rng.choice(("1024x1024", "512x512"))} if endpoint == "images" else {}),
                            **({"source": "image.generation"} if endpoint == "images" else {}),
                            **({"context_level": "medium"} if endpoint == "web_search_calls" else {}),
                            **({"vector_store_id": "vs_1"} if endpoint == "file_search_calls" else {}),
                            "date": day.isoformat(),
                        }
                    )
                    if model and stage.chance(0.2):
                        value = rng.choice((0.04, 1 / 3, 0.0))
                        stage.files["openai_costs"].append(cost_item(day, project, f"{model}, {measure}", value))


def cost_item(day: date, project: str, line_item: str, value: float) -> Json:
    """Return a row of OpenAI's costs."""
    return {
        "object": "organization.costs.result",
        "amount": {"value": value, "currency": "usd"},
        "line_item": line_item,
        "project_id": project,
        "api_key_id": None,
        "quantity": None,
        "date": day.isoformat(),
    }
