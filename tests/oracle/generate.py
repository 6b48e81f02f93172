"""Writes nasty provider data: the sandbox's JSON folder and a tenant directory, reproducible from a seed.

Every edge that the contract decides is in every scenario; what it leaves open comes only with
`ambiguous=True`, so that a difference without it is a bug of one side. Nothing here knows how a number is
computed, but for caps that are set to hit a tenant's exact use (through `compute`).
"""

from __future__ import annotations

import csv
import json
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Required, TypedDict

from tests.oracle import generate_services
from tests.oracle.events import Quantity
from tests.oracle.marts import compute, month_of
from tests.oracle.records import Json, Reading, load_seeds, moment
from tests.oracle.rules import Line

MODELS = (
    "gpt-4o-mini",
    "gpt-4o-mini-2024-07-18",
    "gpt-4o-2024-08-06",
    "gpt-4o-latest",
    "gpt-5",
    "gpt-5-nano",
    "gpt-5-mini-preview-2026-01",
    "house-tuned-7",
)
EMBEDDING_MODELS = ("text-embedding-3-small", "text-embedding-3-large", "text-embedding-unheard-of")
DURATIONS = (0, 1, 59, 60, 61, 119, 120, 121, 3600, 3601)
STATUSES = ("delivered", "sent", "undelivered", "failed", "canceled", "read", "partially_delivered")
UNSENT = ("queued", "scheduled", "accepted", "failed", "canceled")
OUTBOUND = ("outbound-api", "outbound-reply", "outbound-call")
LIVES_AWAY = ("+4915112345678", "+12025550188", "+33612345678", "+819012345678", "+12025550199")
MAIN = "AC" + "0" * 31 + "1"


@dataclass(frozen=True)
class Scenario:
    """What was written, and the arguments that `compute` and a rebuild need besides the folders.

    `loads`: the directory's history for `compute` and for two `metering` loads, oldest first (one entry if
    nothing was removed). `readings`: ingests of a few days that come before the one of the whole window.
    """

    folder: Path
    directory: Path
    loads: list[tuple[date, Path]]
    first: date
    last: date
    as_of: datetime
    tenants: list[str]
    readings: list[Reading] = field(default_factory=list)


@dataclass
class _Story:
    """The moving parts of one scenario; each method adds one kind of record."""

    rng: random.Random
    first: date
    last: date
    as_of: datetime
    ambiguous: bool
    models: Sequence[str]
    files: dict[str, list[Json]] = field(default_factory=lambda: defaultdict(list))
    number: int = 0

    def hex_id(self, prefix: str, length: int = 32) -> str:
        self.number += 1
        return prefix + f"{self.rng.getrandbits(64):016x}{self.number:016x}"[-length:]

    def days(self, margin: int = 0) -> list[date]:
        """The window's days and `margin` more on both sides, none after as-of."""
        span = (self.last - self.first).days + 1 + 2 * margin
        start = self.first - timedelta(days=margin)
        return [d for i in range(span) if (d := start + timedelta(days=i)) <= self.as_of.date()]

    def at(self, day: date) -> datetime:
        second = self.rng.choice((0, 86399, *(self.rng.randrange(86400) for _ in range(4))))
        return datetime.combine(day, time(), UTC) + timedelta(seconds=second)

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def price(self, at: datetime) -> str | None:
        if self.chance(0.5 if self.as_of - at <= timedelta(hours=72) else 0.1):
            return None
        return self.rng.choice(
            (
                "-0.00750",
                "-0.0083",
                "-0.02200",
                "0.00000",
                "-0.0001",
                f"-{self.rng.randrange(1, 99999) / 1e5:.5f}",
            )
        )

    def message(self, at: datetime | None, **given: object) -> None:
        """One Message resource; without `at` it was never sent. A moment after as-of is dropped: it has not
        happened.
        """
        if at is not None and at >= self.as_of:
            return
        shown = at or datetime.combine(self.last, time(9), UTC)
        record: Json = {
            "sid": self.hex_id("SM"),
            "account_sid": MAIN,
            "messaging_service_sid": None,
            "from": LIVES_AWAY[0],
            "to": LIVES_AWAY[1],
            "direction": "outbound-api",
            "status": "delivered",
            "num_segments": "1",
            "num_media": "0",
            "price": self.price(at) if at else None,
            "price_unit": self.rng.choice(("USD", "usd")),
            "date_created": rfc2822(shown - timedelta(seconds=2)),
            "date_sent": rfc2822(at) if at else None,
            "date_updated": rfc2822(shown + timedelta(seconds=5)),
            "body": "Hello, this must never be stored",
            "error_code": None,
            "error_message": None,
            "api_version": "2010-04-01",
            "subresource_uris": {},
            **given,
        }
        record["uri"] = f"/2010-04-01/Accounts/{record['account_sid']}/Messages/{record['sid']}.json"
        self.files["twilio_messages"].append(record)

    def call(self, at: datetime, duration: int | None, **given: object) -> str:
        """One Call resource, its sid. Later than as-of: dropped, as above."""
        sid = self.hex_id("CA")
        if at >= self.as_of:
            return sid
        record: Json = {
            "sid": sid,
            "account_sid": MAIN,
            "parent_call_sid": None,
            "from": LIVES_AWAY[0],
            "to": LIVES_AWAY[1],
            "direction": "outbound-api",
            "status": "completed",
            "duration": "" if duration is None else str(duration),
            "start_time": rfc2822(at),
            "end_time": rfc2822(at + timedelta(seconds=duration or 0)),
            "price": self.price(at) if duration else None,
            "price_unit": "USD",
            "date_created": rfc2822(at - timedelta(seconds=1)),
            "date_updated": rfc2822(at + timedelta(seconds=(duration or 0) + 1)),
            "phone_number_sid": None,
            "answered_by": None,
            "api_version": "2010-04-01",
            "forwarded_from": None,
            "group_sid": None,
            "caller_name": None,
            "queue_time": "0",
            "trunk_sid": None,
            "subresource_uris": {},
            **given,
        }
        record["from_formatted"], record["to_formatted"] = record["from"], record["to"]
        record["uri"] = f"/2010-04-01/Accounts/{record['account_sid']}/Calls/{sid}.json"
        self.files["twilio_calls"].append(record)
        return sid


def rfc2822(at: datetime) -> str:
    return format_datetime(at.astimezone(UTC)).replace("-0000", "+0000")


def generate(
    folder: Path,
    directory: Path,
    *,
    seed: int,
    first: date,
    last: date,
    as_of: date | datetime,
    seeds: Path | None = None,
    per_day: int = 25,
    dated: bool = True,
    removed: bool = False,
    outside_parents: bool = True,
    ambiguous: bool = False,
) -> Scenario:
    """Write provider JSON to `folder` and the CSVs to `directory`; needs a window of at least 8 days.

    `seeds` (the dbt seeds) adds every model of the price book and caps that hit the exact use. `dated`:
    tenants.csv carries versions. `removed` (only with dated=False): a first directory load
    (`<directory>-before`) with a tenant more, and another plan for one. `outside_parents`: a child leg on the
    first day whose parent started on the day before the window. `per_day`: Twilio records.
    """
    rng = random.Random(seed)
    now = moment(as_of)
    days_in_window = (min(last, now.date()) - first).days + 1
    if days_in_window < 8:
        raise ValueError("a scenario needs at least 8 days up to as-of")
    if removed and dated:
        raise ValueError("removal is seen between two loads of an undated tenants.csv: pass dated=False")
    models = list(MODELS)
    if seeds is not None:
        listed = {p.model for p in load_seeds(seeds).prices if p.service == "openai" and p.model}
        models += sorted(m for m in listed if m not in models and not m.startswith("text-embedding"))
    story = _Story(rng, first, min(last, now.date()), now, ambiguous, models)
    turn = first + timedelta(days=days_in_window // 2)  # the day on which things change hands
    cast = _tenants(story, turn, dated)
    resources = _resources(story, turn)
    before = _removal(cast, resources) if removed else None
    readings = _readings(story, turn)

    _messages(story, per_day, resources)
    _calls(story, per_day, turn, outside_parents)
    _openai(story)
    _sendgrid(story)
    _accounts(story)
    _closed_account(story, turn)
    generate_services.add(
        generate_services.Stage(
            rng=random.Random(f"{seed}:services"),
            days=story.days(),
            turn=turn,
            as_of=now,
            readings=[*(r.at for r in readings), now],
            files=story.files,
        )
    )
    folder.mkdir(parents=True, exist_ok=True)
    for name, records in sorted(story.files.items()):
        text = json.dumps(records, indent=0, ensure_ascii=False)
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
    (folder / "missing_buckets.json").write_text("{}", encoding="utf-8")

    loads: list[tuple[date, Path]] = []
    if before is not None:
        earlier = directory.with_name(f"{directory.name}-before")
        _write_directory(earlier, *before, _limits())
        loads.append((turn, earlier))
    loads.append((now.date(), directory))
    _write_directory(directory, cast, resources, _limits())
    if seeds is not None:
        caps = _exact_caps(
            compute(folder, loads, seeds, first=first, last=last, as_of=now, readings=readings).lines,
            cast,
            month_of(now.date()),
        )
        _write_directory(directory, cast, resources, [*_limits(), *caps])
    tenants = sorted({r["tenant_id"] for r in cast})
    return Scenario(folder, directory, loads, first, story.last, now, tenants, readings)


def _readings(story: _Story, turn: date) -> list[Reading]:
    """Two earlier ingests, the first on the day on which things change hands: what they saw of R2 and of the
    numbers stays known."""
    rest = (story.last - turn).days
    found = []
    for day in (turn, turn + timedelta(days=max(1, rest // 2))):
        at = datetime.combine(day, time(11, 30), UTC)
        found.append(Reading(at, max(story.first, day - timedelta(days=1)), day))
    return [reading for reading in found if reading.at < story.as_of]


# --- the directory ------------------------------------------------------------------------------------------

Rows = list[dict[str, str]]
NUMBERS = {
    "acme": "+14155550101",
    "handed over": "+14155550102",
    "lent twice": "+14155550103",
    "boreal": "+14155550104",
    "cirrus": "+14155550105",
    "delta": "+14155550106",
    "in the subaccount": "+14155550107",
    "elsewhere's": "+14155550108",
    "fjord": "+442071838750",
    "nobody": "+14155550109",
}
SUBACCOUNT = "AC" + "0" * 31 + "2"
LOOSE_SUBACCOUNT = "AC" + "0" * 31 + "3"
SERVICE = "MG" + "0" * 31 + "a"
LATE_SERVICE = "MG" + "0" * 31 + "b"
DEFAULT_SERVICE = "MG" + "0" * 31 + "c"


def _tenants(story: _Story, turn: date, dated: bool) -> Rows:
    """acme changes plan mid-window, boreal on a 1st, delta is suspended, ember loses its plan, gale uses
    nothing.
    """
    first_of_month = (turn.replace(day=1) if turn.day > 1 else turn).isoformat()
    at = turn.isoformat()
    history: dict[str, list[tuple[str, str, str]]] = {
        "acme": [("starter", "active", ""), ("pro", "active", at)],
        "boreal": [("pro", "active", ""), ("elite", "active", first_of_month)],
        "cirrus": [("", "active", "")],
        "delta": [("starter", "active", ""), ("starter", "suspended", at)],
        "ember": [("elite", "active", ""), ("", "active", at)],
        "fjord": [("agency", "active", "")],
        "gale": [("starter", "active", "")],
    }
    rows: Rows = []
    for tenant_id, versions in history.items():
        for index, (plan, status, since) in enumerate(versions if dated else versions[-1:]):
            row = {
                "tenant_id": tenant_id,
                "name": f"{tenant_id.title()}, Ltd. “é”",
                "plan": plan,
                "status": status,
                "usage_hard_stop_enabled": "true" if tenant_id in ("acme", "fjord") else "false",
            }
            if dated:
                later = versions[index + 1][2] if index + 1 < len(versions) else ""
                row |= {"valid_from": since, "valid_to": later}
            rows.append(row)
    return rows


def _resources(story: _Story, turn: date) -> Rows:
    at, back = turn.isoformat(), (turn + timedelta(days=2)).isoformat()
    table = [
        ("acme", "twilio", "phone_number", "whatsapp:" + NUMBERS["acme"], "", ""),
        ("acme", "twilio", "phone_number", NUMBERS["handed over"], "", at),
        ("boreal", "twilio", "phone_number", "+1 (415) 555-0102", at, ""),
        # Two days in nobody's hands.
        ("cirrus", "twilio", "phone_number", NUMBERS["lent twice"], "2020-01-01", at),
        ("delta", "twilio", "phone_number", NUMBERS["lent twice"], back, ""),
        ("boreal", "twilio", "phone_number", NUMBERS["boreal"], "", ""),
        ("cirrus", "twilio", "phone_number", NUMBERS["cirrus"], "", ""),
        ("delta", "twilio", "phone_number", NUMBERS["delta"], "", ""),
        # The subaccount wins over the number: cirrus, not boreal.
        ("boreal", "twilio", "phone_number", NUMBERS["in the subaccount"], "", ""),
        ("fjord", "twilio", "phone_number", NUMBERS["fjord"], "", ""),
        ("cirrus", "twilio", "subaccount", SUBACCOUNT, "", ""),
        ("ember", "twilio", "messaging_service", SERVICE, "", ""),
        ("delta", "twilio", "messaging_service", LATE_SERVICE, at, ""),
        ("acme", "openai", "project", "proj_acme", "", ""),
        ("acme", "openai", "project", "proj_acme_two", "", ""),
        ("boreal", "openai", "project", "proj_passed", "", at),
        ("ember", "openai", "project", "proj_passed", at, ""),
        ("cirrus", "openai", "api_key", "key_cirrus", "", ""),
        ("delta", "openai", "api_key", "key_delta", "", at),
        ("fjord", "openai", "project", "proj_fjord", "", ""),
        ("acme", "sendgrid", "subuser", "acme-mail", "", ""),
        ("boreal", "sendgrid", "subuser", "passed-mail", "", at),
        ("delta", "sendgrid", "subuser", "passed-mail", at, ""),
        ("fjord", "sendgrid", "subuser", "closed-mail", "", ""),
        ("cirrus", "sendgrid", "subuser", "quiet-mail", "", ""),
    ]
    table += generate_services.resources(turn)
    if story.ambiguous:
        table.append(("fjord", "openai", "api_key", "key_in_acmes_project", "", ""))
    columns = ("tenant_id", "provider", "resource_type", "resource_id", "valid_from", "valid_to")
    return [dict(zip(columns, row, strict=True)) for row in table]


def _removal(tenants: Rows, resources: Rows) -> tuple[Rows, Rows]:
    """The directory before: `harbor` was there with the number that nobody has now, and boreal had another
    plan.
    """
    earlier = [r | {"plan": "starter"} if r["tenant_id"] == "boreal" else r for r in tenants]
    harbor = tenants[0] | {"tenant_id": "harbor", "name": "Harbor", "plan": "pro", "status": "active"}
    number = resources[0] | {"tenant_id": "harbor", "resource_id": NUMBERS["nobody"]}
    return [*earlier, harbor], [*resources, number]


def _limits() -> Rows:
    columns = ("tenant_id", "channel", "metric", "monthly_cap", "warning_threshold_pct")
    table = [
        ("acme", "sms", "units", "25", "80"),
        ("acme", "ai", "cost_cents", "1.5", "50.5"),
        ("boreal", "mms", "requests", "3", "100"),
        ("boreal", "voice", "units", "", "80"),
        ("cirrus", "email", "units", "0", "80"),
        ("cirrus", "voice", "requests", "7", "70"),
        ("gale", "sms", "requests", "0", "80"),
        ("fjord", "ai", "units", "100000000", "1"),
        ("delta", "sms", "cost_cents", "12.34", "90"),
    ]
    return [dict(zip(columns, row, strict=True)) for row in table]


def _exact_caps(lines: Iterable[Line], tenants: Rows, month: str) -> Rows:
    """Caps of channels without an override yet that are exactly what was used (warning), and one less
    (over).
    """
    used: dict[tuple[str, str], Quantity] = defaultdict(int)
    for line in lines:
        if month_of(line.day) == month:
            used[line.tenant_id, line.channel] += line.requests
    taken = {(r["tenant_id"], r["channel"], r["metric"]) for r in _limits()}
    known = {r["tenant_id"] for r in tenants}
    rows: Rows = []
    for index, ((tenant_id, channel), count) in enumerate(sorted(used.items())):
        if tenant_id in known and count > 0 and (tenant_id, channel, "requests") not in taken and index % 2:
            rows.append(
                {
                    "tenant_id": tenant_id,
                    "channel": channel,
                    "metric": "requests",
                    "monthly_cap": str(count - (index % 4 == 3)),
                    "warning_threshold_pct": "80",
                }
            )
    return rows


def _write_directory(folder: Path, tenants: Rows, resources: Rows, limits: Rows) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("tenants", tenants), ("tenant_resources", resources), ("tenant_limits", limits)):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


# --- Twilio -------------------------------------------------------------------------------------------------


def _sides(story: _Story, outbound: bool) -> dict[str, object]:
    """Account, from and to of a record: mostly a number of the cast against one that lives elsewhere."""
    rng = story.rng
    name = rng.choice(list(NUMBERS))
    own, customer = NUMBERS[name], rng.choice(LIVES_AWAY)
    account = MAIN
    if name == "in the subaccount":
        account = SUBACCOUNT
    elif name == "elsewhere's":
        account = LOOSE_SUBACCOUNT
    if story.chance(0.05):
        own = rng.choice(LIVES_AWAY)
    if story.chance(0.05):
        # Both sides belong to the cast: the direction says which one pays.
        customer = NUMBERS[rng.choice(("acme", "boreal", "fjord"))]
    return {"account_sid": account, "from": own if outbound else customer, "to": customer if outbound else own}


def _messages(story: _Story, per_day: int, resources: Rows) -> None:
    rng = story.rng
    for day in story.days(margin=1):
        for _ in range(rng.randrange(per_day // 2, per_day + 1)):
            outbound = story.chance(0.6)
            given: dict[str, object] = _sides(story, outbound)
            given["direction"] = rng.choice(OUTBOUND) if outbound else "inbound"
            given["status"] = rng.choice(STATUSES) if outbound else rng.choice(("received", "receiving", "received"))
            given["num_segments"] = rng.choice(("0", "1", "1", "2", "3", "10"))
            if story.chance(0.2):
                given["num_media"], given["num_segments"] = (
                    rng.choice(("1", "3")),
                    rng.choice(("0", "1", "2")),
                )
                given["sid"] = story.hex_id(rng.choice(("MM", "SM")))
            if story.chance(0.1):
                given |= {"from": f"whatsapp:{given['from']}", "to": f"whatsapp:{given['to']}"}
            elif outbound and story.chance(0.05):
                given["from"] = "ACME"
            if story.chance(0.25):
                given["messaging_service_sid"] = rng.choice((SERVICE, LATE_SERVICE, DEFAULT_SERVICE))
            story.message(story.at(day), **given)
    for status in UNSENT:
        story.message(None, status=status, num_segments="0", messaging_service_sid=SERVICE, **{"from": None})
    ours = {"from": NUMBERS["acme"], "to": LIVES_AWAY[0]}
    # Midnight, on both sides of the window and of the day on which numbers change hands.
    for day in (story.first, story.last, story.last + timedelta(days=1)):
        midnight = datetime.combine(day, time(), UTC)
        for at in (midnight - timedelta(seconds=1), midnight):
            story.message(at, **ours)
    for row in resources:
        if row["resource_type"] == "phone_number" and row["valid_from"] and row["valid_from"] > "2020-01-01":
            midnight = datetime.combine(date.fromisoformat(row["valid_from"]), time(), UTC)
            for at in (midnight - timedelta(seconds=1), midnight):
                story.message(at, direction="outbound-api", **{"from": NUMBERS["handed over"]})
                story.message(at, direction="inbound", status="received", to=NUMBERS["lent twice"])
    # Prices that are null on both sides of 72 hours (exactly 72 h is open to reading).
    for seconds in (-1, 0, 1) if story.ambiguous else (-1, 1):
        at = story.as_of - timedelta(hours=72, seconds=seconds)
        story.message(at, price=None, **ours)
    story.message(story.as_of - timedelta(days=5), price=None, status="undelivered", num_segments="2", **ours)
    if story.ambiguous:
        story.message(story.as_of - timedelta(days=6), price="0.0100", **ours)  # a positive amount
        story.message(story.as_of - timedelta(days=6), price="-0.0070", price_unit="EUR", **ours)


def _calls(story: _Story, per_day: int, turn: date, outside_parents: bool) -> None:
    rng = story.rng
    for day in story.days(margin=1):
        for _ in range(rng.randrange(per_day // 4, per_day // 2 + 1)):
            outbound = story.chance(0.5)
            given = _sides(story, outbound)
            given["direction"] = "outbound-api" if outbound else "inbound"
            status = rng.choice(("completed", "completed", "completed", "busy", "no-answer", "failed", "canceled"))
            unanswered = status != "completed"
            given["status"] = status
            story.call(story.at(day), None if unanswered else rng.choice(DURATIONS), **given)
    parents = [day for day in story.days() if day > story.first]
    for day in [*rng.sample(parents, 4), turn, *([story.first] if outside_parents else [])]:
        _forwarded(story, datetime.combine(day, time(), UTC))
    # A child whose own side is known: acme's number dials on from a call to boreal's. Own side first.
    noon = datetime.combine(turn - timedelta(days=1), time(12), UTC)
    parent = story.call(noon, 61, direction="inbound", to=NUMBERS["boreal"])
    story.call(
        noon,
        60,
        parent_call_sid=parent,
        direction="outbound-dial",
        **{"from": NUMBERS["acme"], "to": LIVES_AWAY[2]},
    )
    # A child of a parent that never lasted, and one whose parent nobody has.
    parent = story.call(noon, 0, direction="inbound", to=NUMBERS["fjord"])
    story.call(noon, 59, parent_call_sid=parent, direction="outbound-dial")
    story.call(noon, 59, parent_call_sid="CA" + "f" * 32, direction="outbound-dial")
    if story.ambiguous:
        parent = story.call(noon, 61, direction="inbound", to=NUMBERS["boreal"])
        child = story.call(
            noon, 61, parent_call_sid=parent, direction="outbound-dial", to=NUMBERS["acme"]
        )  # only the other side is known
        story.call(noon, 61, parent_call_sid=child, direction="outbound-dial")  # a grandchild


def _forwarded(story: _Story, midnight: datetime) -> None:
    """A call to a tenant's number just before midnight; its child leg, with no side of ours, starts on the
    next day.
    """
    number = story.rng.choice((NUMBERS["handed over"], NUMBERS["handed over"], NUMBERS["fjord"]))
    parent = story.call(midnight - timedelta(seconds=30), 121, direction="inbound", to=number)
    for after in (0, 5):
        story.call(
            midnight + timedelta(seconds=after),
            story.rng.choice((1, 59, 60, 61)),
            parent_call_sid=parent,
            direction="outbound-dial",
            **{"from": LIVES_AWAY[3], "to": LIVES_AWAY[4]},
        )


def _closed_account(story: _Story, turn: date) -> None:
    """It lists what it did before it was closed."""
    for day in (turn - timedelta(days=1), turn):
        away = {"account_sid": generate_services.CLOSED, "from": LIVES_AWAY[2]}
        story.message(story.at(day), **away)
        story.call(story.at(day), 61, **away)


def _accounts(story: _Story) -> None:
    created = rfc2822(datetime(2020, 1, 1, tzinfo=UTC))
    for sid in (MAIN, SUBACCOUNT, LOOSE_SUBACCOUNT, generate_services.CLOSED):
        story.files["twilio_accounts"].append(
            {
                "sid": sid,
                "owner_account_sid": MAIN,
                "friendly_name": f"account {sid[-1]}",
                "status": "closed" if sid == generate_services.CLOSED else "active",
                "type": "Full",
                "auth_token": None,
                "date_created": created,
                "date_updated": created,
                "subresource_uris": {},
                "uri": f"/2010-04-01/Accounts/{sid}.json",
            }
        )
    for index, (name, number) in enumerate(NUMBERS.items()):
        account = {"in the subaccount": SUBACCOUNT, "elsewhere's": LOOSE_SUBACCOUNT}.get(name, MAIN)
        sid = f"PN{index:032x}"
        story.files["twilio_phone_numbers"].append(
            {
                "sid": sid,
                "account_sid": account,
                "phone_number": number,
                "friendly_name": name,
                "capabilities": {"voice": True, "sms": True, "mms": True, "fax": False},
                "date_created": created,
                "date_updated": created,
                "api_version": "2010-04-01",
                "beta": False,
                "origin": "twilio",
                "status": "in-use",
                "uri": f"/2010-04-01/Accounts/{account}/IncomingPhoneNumbers/{sid}.json",
            }
        )


# --- OpenAI -------------------------------------------------------------------------------------------------

PROJECTS = ("proj_acme", "proj_acme_two", "proj_passed", "proj_shared", "proj_fjord", "proj_stranger")
SHARED_KEYS = ("key_cirrus", "key_delta", "key_unlisted")
# (batch, service_tier) of one model's results on a day: unsaid, two ways at once, two names of one, and what has no price.
PROCESSED: tuple[tuple[tuple[bool | None, str | None], ...], ...] = (
    ((None, None),),
    ((None, None),),
    ((False, "default"), (True, "default")),
    ((None, None), (False, "default"), (False, "flex")),
    ((False, "priority"), (False, "fast")),
    ((True, "default"), (True, "flex"), (True, None)),
    ((False, "auto"), (False, "scale")),
    ((False, "flex"), (False, "priority"), (True, None)),
)


def _openai(story: _Story) -> None:
    rng = story.rng
    for name in PROJECTS:
        story.files["openai_projects"].append(
            {
                "id": name,
                "object": "organization.project",
                "name": name,
                "created_at": 1700000000,
                "archived_at": None,
                "status": "active",
            }
        )
    for day in story.days(margin=1):
        for project in PROJECTS:
            if story.chance(0.25):
                if story.chance(0.3):
                    _cost(story, day, project, "gpt-4o-mini-2024-07-18, input", 0.0123)  # costs without any usage
                continue
            keys = SHARED_KEYS if project == "proj_shared" else (f"key_of_{project}",)
            if story.ambiguous and project == "proj_acme":
                keys = (*keys, "key_in_acmes_project")
            used: set[str] = set()
            for key in keys:
                for model in rng.sample(story.models, rng.randrange(1, 4)):
                    used.add(model)
                    for batch, tier in rng.choice(PROCESSED):
                        _completions(story, day, project, key, model, batch=batch, tier=tier)
                if story.chance(0.4):
                    model = rng.choice(EMBEDDING_MODELS)
                    used.add(model)
                    story.files["openai_usage_embeddings"].append(
                        {
                            "object": "organization.usage.embeddings.result",
                            "input_tokens": rng.randrange(1, 3_000_000),
                            "num_model_requests": rng.randrange(1, 40),
                            "project_id": project,
                            "user_id": None,
                            "api_key_id": key,
                            "model": model,
                            "date": day.isoformat(),
                        }
                    )
            _costs(story, day, project, sorted(used))


def _completions(
    story: _Story, day: date, project: str, key: str, model: str, *, batch: bool | None, tier: str | None
) -> None:
    rng = story.rng
    tokens = rng.choice((1, 7, 272_000, 272_001, rng.randrange(1, 2000), rng.randrange(1, 5_000_000)))
    cached = rng.choice((0, 0, rng.randrange(tokens + 1), tokens))
    written = rng.choice((0, 0, rng.randrange(tokens - cached + 1), tokens - cached))
    story.files["openai_usage_completions"].append(
        {
            "object": "organization.usage.completions.result",
            "input_tokens": tokens,
            "input_cached_tokens": cached,
            "input_cache_write_tokens": written,
            "input_uncached_tokens": tokens - cached - written,
            "output_tokens": rng.choice((0, rng.randrange(1, 900_000))),
            "num_model_requests": rng.randrange(1, 200),
            "project_id": project,
            "user_id": None,
            "api_key_id": key,
            "model": model,
            "batch": batch,
            "service_tier": tier,
            "date": day.isoformat(),
        }
    )


def _costs(story: _Story, day: date, project: str, used: Sequence[str]) -> None:
    rng = story.rng
    open_days = (story.as_of.date() - day).days < 3
    if story.chance(0.6 if open_days else 0.1):
        return  # usage without a cost yet
    items = [f"{model}, {kind}" for model in used for kind in ("input", "output") if story.chance(0.8)]
    items += [f"{model}, cached input" for model in used if not model.startswith("text-") and story.chance(0.3)]
    if story.chance(0.2):
        items.append("web search tool calls")  # of no model: over all lines
    if story.chance(0.2):
        items.append("gpt-of-another-day, output")
    for item in items:
        value = rng.choice((rng.random(), rng.random() / 1e4, 1e-07, 0.1 + 0.2, 12.5, 1 / 3, 0.0))
        _cost(story, day, project, item, value)
    if story.chance(0.05) and items:
        _cost(story, day, project, "gpt-4o-mini, credit", -0.01)


def _cost(story: _Story, day: date, project: str, line_item: str, value: float) -> None:
    story.files["openai_costs"].append(generate_services.cost_item(day, project, line_item, value))


# --- SendGrid -----------------------------------------------------------------------------------------------

SUBUSERS = ("acme-mail", "passed-mail", "closed-mail", "quiet-mail", "stranger-mail")


def _metrics(requests: int) -> dict[str, int]:
    names = (
        "blocks bounce_drops bounces clicks deferred delivered invalid_emails opens processed requests"
        " spam_report_drops spam_reports unique_clicks unique_opens unsubscribe_drops unsubscribes"
    )
    metrics = dict.fromkeys(names.split(), 0)
    return metrics | {"requests": requests, "processed": requests // 2, "delivered": requests // 3}


def _sendgrid(story: _Story) -> None:
    rng = story.rng
    for index, name in enumerate(SUBUSERS):
        if name != "closed-mail":  # known to the directory alone
            story.files["sendgrid_subusers"].append(
                {"id": index + 1, "username": name, "email": f"{name}@example.com", "disabled": False}
            )
    for day in story.days(margin=1):
        sent = 0
        for name in SUBUSERS:
            count = 0 if name == "quiet-mail" else rng.choice((0, 1, 2, rng.randrange(500)))
            if count or story.chance(0.5):
                sent += count
                story.files["sendgrid_subuser_stats"].append(
                    {"date": day.isoformat(), "subuser": name, "metrics": _metrics(count)}
                )
        whole = rng.choice((sent, sent, sent + rng.randrange(1, 50), max(0, sent - 3), 0))
        if whole or story.chance(0.5):
            story.files["sendgrid_stats"].append({"date": day.isoformat(), "metrics": _metrics(whole)})


# --- seeds --------------------------------------------------------------------------------------------------


def write_seeds(folder: Path, turn: date) -> None:
    """plans.csv, plan_limits.csv and price_book.csv with what real lists lack: prices of a plan, of any
    model, of any operation, a price that changes on `turn`, a set without its output price; limits by
    direction, requests and cost.
    """
    at = turn.isoformat()
    mega = "1000000"
    tables: dict[str, tuple[str, list[tuple[str, ...]]]] = {
        "plans": (
            "plan,label,monthly_base_price_usd",
            [
                ("starter", "Starter", "49"),
                ("pro", "Pro", "149.50"),
                ("elite", "Elite", "0"),
                ("agency", "Agency", ""),
            ],
        ),
        "plan_limits": (
            "plan,channel,metric,direction,monthly_cap,warning_threshold_pct",
            [
                ("starter", "sms", "units", "outbound", "40", "80"),
                ("starter", "sms", "requests", "inbound", "15", "66.6"),
                ("starter", "voice", "units", "any", "0", "80"),
                ("starter", "ai", "cost_cents", "any", "250.5", "75"),
                ("pro", "sms", "units", "outbound", "4000", ""),
                ("pro", "mms", "requests", "inbound", "7", "80"),
                ("pro", "voice", "units", "outbound", "30", "80"),
                ("pro", "voice", "cost_cents", "any", "33", "80"),
                ("elite", "email", "units", "outbound", "", "80"),
                ("elite", "ai", "units", "any", "1000000", "80"),
                ("agency", "voice", "units", "any", "", ""),
                ("agency", "sms", "cost_cents", "outbound", "3", "80"),
                ("starter", "phone", "units", "any", "20", "80"),
                ("starter", "recording", "units", "any", "5", "50"),
                ("pro", "payments", "requests", "any", "9", ""),
                ("elite", "payments", "cost_cents", "any", "100", "80"),
                ("elite", "storage", "units", "any", "1500.5", "80"),
                ("pro", "storage_ops", "units", "any", "1000001", "80"),
                ("agency", "ai", "units", "any", "9000000", "80"),
            ],
        ),
        "price_book": (
            "service,operation,model,plan,component,unit_price_usd,per,effective_from,effective_to,source,tier",
            [
                ("twilio_sms", "outbound", "", "", "unit", "0.0083", "1", "", at, "test"),
                ("twilio_sms", "outbound", "", "", "unit", "0.00915", "1", at, "", "test"),
                ("twilio_sms", "", "", "", "unit", "0.005", "1", "", "", "test"),
                ("twilio_sms", "mms_outbound", "", "", "unit", "22.5", "1000", "", "", "test"),
                # The plan before any, though the operation is less exact.
                ("twilio_sms", "", "", "elite", "unit", "0.0047", "1", "", "", "test"),
                ("twilio_voice", "inbound", "", "", "unit", "0.0085", "1", "", "", "test"),
                ("twilio_voice", "outbound", "", "", "unit", "0.013", "1", "", at, "test"),  # then none
                ("sendgrid", "send", "", "", "unit", "0.90", "1000", "", "", "test"),
                ("sendgrid", "", "", "starter", "unit", "0.0011", "1", "2020-01-01", "", "test"),
                ("openai", "chat_completion", "gpt-4o-mini", "", "input", "0.15", mega, "", "", "test"),
                (
                    "openai",
                    "chat_completion",
                    "gpt-4o-mini",
                    "",
                    "cached_input",
                    "0.075",
                    mega,
                    "",
                    "",
                    "test",
                ),
                ("openai", "chat_completion", "gpt-4o-mini", "", "output", "0.6", mega, "", "", "test"),
                (
                    "openai",
                    "chat_completion",
                    "gpt-4o-mini",
                    "pro",
                    "input",
                    "0.149999",
                    mega,
                    "",
                    "",
                    "test",
                ),
                ("openai", "chat_completion", "gpt-4o-mini", "pro", "output", "0.7", mega, at, "", "test"),
                ("openai", "", "gpt-4o-mini-2024-07-18", "", "input", "0.00014", "1000", "", at, "test"),
                ("openai", "", "gpt-4o-mini-2024-07-18", "", "output", "0.00061", "1000", "", at, "test"),
                ("openai", "chat_completion", "gpt-4o", "", "input", "2.5", mega, "", "", "test"),
                ("openai", "chat_completion", "gpt-4o", "", "output", "10", mega, "", "", "test"),
                ("openai", "", "gpt-5", "", "input", "1.25", mega, "", "", "test"),  # no output price
                ("openai", "", "gpt-5-mini", "", "input", "0.25", mega, "", "", "test"),
                ("openai", "", "gpt-5-mini", "", "output", "2", mega, "", "", "test"),
                ("openai", "", "", "agency", "input", "3.3333333333", mega, "", "", "test"),
                ("openai", "", "", "agency", "output", "6.6666666667", mega, "", "", "test"),
                # A tier before the model, after the plan; with cache writes and without; an end in mid-window.
                ("openai", "", "", "", "input", "0.9", mega, "", "", "test", "flex"),
                ("openai", "", "", "", "output", "1.9", mega, "", "", "test", "flex"),
                ("openai", "", "gpt-4o-mini", "", "input", "0.0751", mega, "", at, "test", "batch"),
                ("openai", "", "gpt-4o-mini", "", "cached_input", "0.0251", mega, "", at, "test", "batch"),
                ("openai", "", "gpt-4o-mini", "", "cache_write", "0.1251", mega, "", at, "test", "batch"),
                ("openai", "", "gpt-4o-mini", "", "output", "0.31", mega, "", at, "test", "batch"),
                ("openai", "", "gpt-4o-mini", "", "input", "0.3", mega, "", "", "test", "long_context"),
                ("openai", "", "gpt-4o-mini", "", "output", "1.2", mega, "", "", "test", "long_context"),
                ("openai", "chat_completion", "gpt-4o", "", "input", "1.25", mega, "", "", "test", "batch"),
                ("openai", "chat_completion", "gpt-4o", "", "output", "5", mega, "", "", "test", "batch"),
                ("openai", "chat_completion", "gpt-4o", "", "input", "1.5", mega, "", "", "test", "batch_long_context"),
                ("openai", "chat_completion", "gpt-4o", "", "output", "7", mega, "", "", "test", "batch_long_context"),
                ("openai", "chat_completion", "gpt-4o", "", "cache_write", "3.125", mega, "", "", "test"),
                ("openai", "chat_completion", "gpt-4o", "", "cache_write_1h", "5.1", mega, "", "", "test"),
                ("openai", "", "gpt-5", "", "input", "2.5", mega, at, "", "test", "priority"),
                ("openai", "", "gpt-5", "", "cache_write", "3", mega, at, "", "test", "priority"),
                ("openai", "", "gpt-5", "", "output", "20", mega, at, "", "test", "priority"),
                ("openai", "", "gpt-5-mini", "agency", "input", "0.4", mega, "", "", "test", "priority"),
                ("openai", "", "gpt-5-mini", "agency", "output", "4", mega, "", "", "test", "priority"),
                ("openai", "", "", "", "input", "6", mega, "", at, "test", "long_context"),
                ("openai", "", "", "", "output", "7", mega, "", at, "test", "long_context"),
                ("openai", "embedding", "text-embedding-3-small", "", "input", "0.02", mega, "", "", "test"),
                ("openai", "embedding", "text-embedding-3-large", "", "input", "0.13", mega, "", at, "test"),
                ("openai", "embedding", "text-embedding-3-large", "", "input", "0.12", mega, at, "", "test"),
                ("openai", "moderation", "omni-moderation", "", "input", "0.01", mega, "", "", "test"),
                ("openai", "image", "gpt-image-1", "", "unit", "0.04", "1", "", "", "test"),
                ("openai", "image", "", "", "unit", "0.02", "1", "", at, "test"),
                ("openai", "audio_speech", "", "", "unit", "15", mega, "", "", "test"),
                ("openai", "audio_transcription", "", "", "unit", "0.0001", "1", at, "", "test"),
                ("openai", "web_search_call", "", "", "unit", "10", "1000", "", "", "test"),
                ("openai", "code_interpreter_session", "", "pro", "unit", "0.03", "1", "", "", "test"),
                ("twilio_voice", "recording", "", "", "unit", "0.0025", "1", "", at, "test"),
                ("twilio_voice", "recording", "", "", "unit", "0.003", "1", at, "", "test"),
                ("twilio_voice", "recording", "", "elite", "unit", "0.001", "1", "", "", "test"),
                ("twilio_phone", "local", "", "", "unit", "1.15", "1", "", at, "test"),
                ("twilio_phone", "local", "", "", "unit", "1.3", "1", at, "", "test"),
                ("twilio_phone", "toll_free", "", "", "unit", "2.15", "1", "", at, "test"),  # then none
                ("twilio_phone", "", "", "agency", "unit", "0.77", "1", "", "", "test"),
                # Of one component, of both, changed in mid-month, of a plan, and of whatever else there is.
                ("stripe", "charge", "", "", "percentage", "0.029", "1", "", at, "test"),
                ("stripe", "charge", "", "", "percentage", "0.0311", "1", at, "", "test"),
                ("stripe", "charge", "", "", "fixed", "0.3", "1", "", "", "test"),
                ("stripe", "charge", "", "pro", "percentage", "0.027", "1", "", "", "test"),
                ("stripe", "charge", "", "starter", "fixed", "0.35", "1", "", at, "test"),
                ("stripe", "refund", "", "", "percentage", "0.001", "1", "", "", "test"),
                ("stripe", "stripe_fee", "", "", "percentage", "1", "1", "", "", "test"),
                ("stripe", "adjustment", "", "", "fixed", "15", "1", "", at, "test"),
                ("stripe", "adjustment", "", "", "fixed", "20", "1", at, "", "test"),
                ("stripe", "", "", "elite", "percentage", "0.05", "1", "", "", "test"),
                ("cloudflare_r2", "class_a", "", "", "unit", "4.5", mega, "", "", "test"),
                ("cloudflare_r2", "class_b", "", "", "unit", "0.36", mega, "", at, "test"),  # then none
                ("cloudflare_r2", "free", "", "", "unit", "0", mega, "", "", "test"),
                ("cloudflare_r2", "storage", "", "", "unit", "0.015", "1", "", at, "test"),
                ("cloudflare_r2", "storage", "", "", "unit", "0.0161", "1", at, "", "test"),
                ("cloudflare_r2", "storage", "", "agency", "unit", "0.01", "1", "", "", "test"),
            ],
        ),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, (header, rows) in tables.items():
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as stream:
            names = header.split(",")
            csv.writer(stream).writerows([names, *([*row, ""][: len(names)] for row in rows)])


class Windows(TypedDict, total=False):
    """Arguments of `generate` (and, the first three, of `compute`)."""

    first: Required[date]
    last: Required[date]
    as_of: Required[datetime]
    dated: bool
    removed: bool


# Month ends, a short month, as-of on the 1st, at midnight and mid-day, months all finished, a removal.
SCENARIOS: dict[str, Windows] = {
    "end of January": {
        "first": date(2026, 1, 24),
        "last": date(2026, 2, 10),
        "as_of": datetime(2026, 2, 10, 12, tzinfo=UTC),
    },
    "February whole, midnight of the 1st": {
        "first": date(2026, 1, 20),
        "last": date(2026, 3, 1),
        "as_of": datetime(2026, 3, 1, tzinfo=UTC),
    },
    "the 31st after a short month": {
        "first": date(2026, 2, 1),
        "last": date(2026, 3, 31),
        "as_of": datetime(2026, 3, 31, 18, tzinfo=UTC),
    },
    "the 1st, window ends the day before": {
        "first": date(2026, 9, 25),
        "last": date(2026, 10, 31),
        "as_of": datetime(2026, 11, 1, 6, tzinfo=UTC),
    },
    "a finished month, with a removal": {
        "first": date(2026, 10, 1),
        "last": date(2026, 10, 31),
        "as_of": datetime(2026, 11, 10, tzinfo=UTC),
        "dated": False,
        "removed": True,
    },
}
