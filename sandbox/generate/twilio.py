"""Made-up Twilio records: accounts, numbers, messages, calls and recordings of some of these.

Besides ordinary traffic there are, for each tenant: failed, undelivered, canceled and still scheduled
messages, one scheduled that is sent the next day, late and vanishing ones, prices that never come, MMS,
several segments, WhatsApp, calls that nobody answered, forwarded calls with a child leg (one over midnight), recordings
(one deleted, one absent, one never priced), a toll-free number, one number provisioned and one released in mid-range.
And traffic of a number without a tenant.
"""

from __future__ import annotations

import random
from datetime import date
from decimal import Decimal

from sandbox.generate.cast import AGENT_AREA, CUSTOMER_AREAS, Cast, Role, hex_id
from sandbox.generate.volume import Volume
from sandbox.lists import Record
from sandbox.times import day_start, iso, parse_rfc2822, rfc2822

API = "/2010-04-01/Accounts"
HOUR = 3600
INBOUND_SHARE = 0.15
# USD per segment, message or started minute: Twilio's US list prices (provider-facts, section 9).
SMS, MMS_OUT, MMS_IN = Decimal("0.0083"), Decimal("0.022"), Decimal("0.0165")
VOICE_OUT, VOICE_IN, RECORDING = Decimal("0.013"), Decimal("0.0085"), Decimal("0.0025")
RECORDED_SHARE = 0.2
SMS_PRICES = {segments: f"-{SMS * segments:.5f}" for segments in range(1, 11)}
SEGMENTS = (1, 1, 1, 1, 1, 1, 1, 2, 2, 3)
BODIES = (
    "Hi Sam, your appointment is confirmed for tomorrow at 10:30. Reply C to cancel.",
    "Thanks for your visit! How did we do? https://example.com/review",
    "Your order is ready. Questions? Write to help@example.com or call us back.",
    "Reminder: your invoice is due on Friday.",
)
REPLIES = ("Yes please", "C", "Can we make it 11 instead?", "STOP", "Thank you!")
POOL = Role("", sms=0.05, mms=0.02, voice=0.04, email=0.05, ai=0.03)  # what nobody in the directory owns


def records(cast: Cast, volume: Volume, days: list[date], seed: int) -> dict[str, list[Record]]:
    """The five Twilio lists, in order of tenants and days."""
    messages: list[Record] = []
    calls: list[Record] = []
    recordings: list[Record] = []
    for tenant in cast.tenants:
        traffic = _Traffic(tenant.account_sid, tenant.messaging_service, random.Random(f"{seed}:{tenant.tenant_id}"))
        plan = {channel: volume.daily(tenant.role, channel, days) for channel in ("sms", "mms", "voice")}
        for number, day in enumerate(days):
            traffic.numbers = tenant.numbers_on(day)
            traffic.ordinary_day(day, plan["sms"][number], plan["mms"][number], plan["voice"][number])
        traffic.set_pieces(days)
        messages += traffic.messages
        calls += traffic.calls
        # Drawn from a generator of their own: what else there is does not depend on them.
        recordings += _recordings(traffic.calls, days, random.Random(f"{seed}:{tenant.tenant_id}:recordings"))
    pool = _Traffic(cast.main_account, cast.pool_service, random.Random(f"{seed}:pool"))
    pool.numbers = [cast.pool_number]
    plan = {channel: volume.daily(POOL, channel, days) for channel in ("sms", "mms", "voice")}
    for number, day in enumerate(days):
        pool.ordinary_day(day, plan["sms"][number], plan["mms"][number], plan["voice"][number])
    return {
        "twilio_accounts": _accounts(cast),
        "twilio_phone_numbers": _phone_numbers(cast, days, random.Random(f"{seed}:numbers")),
        "twilio_messages": messages + pool.messages,
        "twilio_calls": calls + pool.calls,
        "twilio_recordings": recordings,
    }


class _Traffic:
    """The messages and calls of one tenant (or of nobody), day by day."""

    def __init__(self, account_sid: str, messaging_service: str | None, rng: random.Random) -> None:
        self.account_sid, self.messaging_service, self.rng = account_sid, messaging_service, rng
        self.numbers: list[str] = []
        self.messages: list[Record] = []
        self.calls: list[Record] = []

    def ordinary_day(self, day: date, segments: int, mms: int, minutes: int) -> None:
        """`segments`, `mms` and `minutes` (both directions) of billed usage, and what comes with them for
        nothing.
        """
        start = day_start(day)
        self._texts(start, segments, outbound=True)
        self._texts(start, int(segments * INBOUND_SHARE + self.rng.random()) if segments else 0, outbound=False)
        for number in range(mms):
            self._mms(start, outbound=number % 4 != 3)
        for _ in range(segments // 60):
            self._failed(start)
        self._calls(start, minutes)

    def set_pieces(self, days: list[date]) -> None:
        """What must be there at any scale: the odd cases, around the middle and the end of the range."""
        middle, last = day_start(days[len(days) // 2]), day_start(days[-1])
        self.numbers = self.numbers[:1]
        self._message(middle + 86_399, outbound=True, segments=2)
        self._message(middle, outbound=False, segments=1)
        self._mms(middle, outbound=True)
        self._mms(middle, outbound=False)
        self._failed(middle)
        undelivered = self._message(middle + 11 * HOUR, outbound=True, segments=1)
        undelivered.update({"status": "undelivered", "error_code": 30003, "error_message": "Unreachable"})
        never_priced = self._message(middle + 12 * HOUR, outbound=True, segments=1)
        never_priced["price"] = None
        late = self._message(middle + 20 * HOUR, outbound=True, segments=1)
        late["_sandbox"]["visible_from"] = iso(middle + 40 * HOUR)
        vanishing = self._message(middle + 9 * HOUR, outbound=True, segments=3)
        vanishing["_sandbox"]["vanishes_at"] = iso(middle + 60 * HOUR)
        waiting = self._message(last + 30 * HOUR, outbound=True, segments=1, created=last + 10 * HOUR)
        waiting.update({"status": "scheduled", "date_sent": None, "price": None, "price_unit": None})
        waiting.pop("_sandbox")
        canceled = self._message(middle + 30 * HOUR, outbound=True, segments=1, created=middle + 8 * HOUR)
        canceled.update({"status": "canceled", "date_sent": None, "price": None, "price_unit": None})
        canceled.pop("_sandbox")
        # Scheduled on one day, sent on the next: its day is that of sending.
        if len(days) > 1:
            sent = day_start(days[len(days) // 2 - 1]) + 26 * HOUR
            scheduled = self._message(sent, outbound=True, segments=1, created=sent - 10 * HOUR)
            history = [
                [iso(sent - 10 * HOUR), "scheduled"],
                [iso(sent), "sent"],
                [iso(sent + 5), "delivered"],
            ]
            scheduled["_sandbox"]["status_history"] = history
        # A forwarded call whose second leg begins after midnight.
        if len(days) > 1:
            midnight = day_start(days[len(days) // 2])
            parent = self._call(midnight - 100, "inbound", 400)
            self._call(midnight + 20, "outbound-dial", 270, parent=parent)
        self._call(middle + 15 * HOUR, "outbound-api", 60)
        self._call(middle + 15 * HOUR + 90, "outbound-api", 61)
        self._call(middle + 16 * HOUR, "inbound", 0)

    # --- messages

    def _texts(self, start: int, segments: int, *, outbound: bool) -> None:
        rng = self.rng
        while segments > 0:
            size = min(SEGMENTS[int(rng.random() * len(SEGMENTS))], segments)
            segments -= size
            record = self._message(start + self._second(), outbound=outbound, segments=size)
            chance = rng.random()
            if chance < 0.05 and outbound:
                self._odd(record, chance, start)

    def _odd(self, record: Record, chance: float, start: int) -> None:
        """One outbound message in twenty: undelivered, late in some way, never priced, or WhatsApp."""
        notes = record["_sandbox"]
        if chance < 0.012:
            record.update({"status": "undelivered", "error_code": 30005, "error_message": "Unknown destination"})
        elif chance < 0.03:
            # The outcome is known a few hours later.
            sent = iso(start)
            notes["status_history"] = [[sent, "sent"], [iso(start + 30 * HOUR), record["status"]]]
        elif chance < 0.034:
            notes["visible_from"] = iso(start + int(self.rng.uniform(24, 60) * HOUR))
        elif chance < 0.042:
            record["price"] = None
        else:
            record.update({"from": f"whatsapp:{record['from']}", "to": f"whatsapp:{record['to']}"})

    def _mms(self, start: int, *, outbound: bool) -> None:
        record = self._message(start + self._second(), outbound=outbound, segments=1)
        record["num_media"] = "1"
        record["price"] = f"-{MMS_OUT if outbound else MMS_IN:.5f}"

    def _failed(self, start: int) -> None:
        record = self._message(start + self._second(), outbound=True, segments=1)
        record.update({"status": "failed", "error_code": 30008, "error_message": "Unknown error", "price": None})
        record.pop("_sandbox")

    def _message(self, sent: int, *, outbound: bool, segments: int, created: int | None = None) -> Record:
        rng = self.rng
        chance = rng.random()
        kind = "SM" if chance < 0.97 else "MM"  # the prefix does not tell whether there is media
        sid = f"{kind}{rng.getrandbits(128):032x}"
        own = self.numbers[int(chance * 7919) % len(self.numbers)]
        other = self._customer()
        service = self.messaging_service if outbound and chance * 10 % 1 < 0.6 else None
        uri = f"{API}/{self.account_sid}/Messages/{sid}"
        texts = BODIES if outbound else REPLIES
        record = {
            "account_sid": self.account_sid,
            "api_version": "2010-04-01",
            "body": texts[int(chance * 104_729) % len(texts)],
            "date_created": rfc2822(sent - 2 if created is None else created),
            "date_sent": rfc2822(sent),
            "date_updated": rfc2822(sent + 3),
            "direction": "inbound" if not outbound else "outbound-reply" if chance < 0.1 else "outbound-api",
            "error_code": None,
            "error_message": None,
            "from": own if outbound else other,
            "messaging_service_sid": service,
            "num_media": "0",
            "num_segments": str(segments),
            "price": SMS_PRICES[segments],
            "price_unit": "USD",
            "sid": sid,
            "status": "received" if not outbound else "sent" if chance > 0.9 else "delivered",
            "subresource_uris": {"media": f"{uri}/Media.json", "feedback": f"{uri}/Feedback.json"},
            "to": other if outbound else own,
            "uri": f"{uri}.json",
            # "up to 24 hours in rare cases"
            "_sandbox": {"price_from": iso(sent + 600 + int(chance**8 * 22 * HOUR))},
        }
        self.messages.append(record)
        return record

    # --- calls

    def _calls(self, start: int, minutes: int) -> None:
        rng = self.rng
        while minutes > 0:
            length = min(1 + int(rng.expovariate(0.28)), 25, minutes)
            minutes -= length
            at = start + self._second()
            chance = rng.random()
            seconds = length * 60 - int(rng.random() * 60)
            if chance < 0.45:
                self._call(at, "outbound-api", seconds)
            else:
                parent = self._call(at, "inbound", seconds)
                forwarded = min(length, minutes)
                if chance > 0.9 and forwarded > 0:
                    minutes -= forwarded
                    self._call(at + 8, "outbound-dial", max(min(forwarded * 60, seconds) - 8, 1), parent=parent)
            if chance * 10 % 1 < 0.06:
                self._call(at + 300, "outbound-api", None, status=("busy", "no-answer", "failed")[int(chance * 3)])

    def _call(
        self,
        start: int,
        direction: str,
        seconds: int | None,
        *,
        parent: Record | None = None,
        status: str = "completed",
    ) -> Record:
        """One leg of `seconds`; None where nobody answered."""
        rng = self.rng
        sid = f"CA{rng.getrandbits(128):032x}"
        own = self.numbers[int(rng.random() * len(self.numbers))]
        sides = (own, self._customer()) if direction == "outbound-api" else (self._customer(), own)
        if parent is not None:
            # The caller's number is shown to the agent who picks up: neither side is the tenant's.
            sides = (parent["from"], f"+1{AGENT_AREA}5550{100 + rng.randrange(100)}")
        minutes = -(-(seconds or 0) // 60)
        price = (VOICE_IN if direction == "inbound" else VOICE_OUT) * minutes
        end = start + (seconds or 0)
        uri = f"{API}/{self.account_sid}/Calls/{sid}"
        record: Record = {
            "account_sid": self.account_sid,
            "answered_by": None,
            "api_version": "2010-04-01",
            "caller_name": None,
            "date_created": rfc2822(start - 1),
            "date_updated": rfc2822(end),
            "direction": direction,
            "duration": str(seconds) if seconds is not None else "" if status == "failed" else "0",
            "end_time": rfc2822(end),
            "forwarded_from": None,
            "from": sides[0],
            "from_formatted": sides[0],
            "group_sid": None,
            "parent_call_sid": None if parent is None else parent["sid"],
            "phone_number_sid": None,
            "price": f"-{price:.5f}" if price else None,
            "price_unit": "USD",
            "queue_time": "0",
            "sid": sid,
            "start_time": rfc2822(start),
            "status": status,
            "subresource_uris": {"recordings": f"{uri}/Recordings.json", "events": f"{uri}/Events.json"},
            "to": sides[1],
            "to_formatted": sides[1],
            "trunk_sid": None,
            "uri": f"{uri}.json",
        }
        if price:
            record["_sandbox"] = {
                "price_from": iso(end + int(rng.random() * 6 * HOUR)),
                "status_history": [
                    [iso(start - 1), "ringing"],
                    [iso(start), "in-progress"],
                    [iso(end), "completed"],
                ],
            }
        self.calls.append(record)
        return record

    def _customer(self) -> str:
        draw = int(self.rng.random() * len(CUSTOMER_AREAS) * 100)
        return f"+1{CUSTOMER_AREAS[draw // 100]}5550{100 + draw % 100}"

    def _second(self) -> int:
        """A second of the day, mostly in American business hours (UTC 13 to 24)."""
        draw = self.rng.random()
        return int(draw * 10 * 86_400) % 86_400 if draw < 0.1 else 47_000 + int((draw - 0.1) / 0.9 * 39_000)


def _recordings(calls: list[Record], days: list[date], rng: random.Random) -> list[Record]:
    """Recordings of one in five answered calls of one leg; in mid-range one deleted, one absent, one never priced."""
    recordings: list[Record] = []
    middle = rfc2822(day_start(days[len(days) // 2]))[:16]
    odd = iter(("deleted", "absent", "unpriced"))
    for call in calls:
        seconds = int(call["duration"] or 0)
        if call["parent_call_sid"] is not None or call["status"] != "completed" or seconds <= 0:
            continue
        kind = next(odd, "") if call["start_time"].startswith(middle) else ""
        if kind or rng.random() < RECORDED_SHARE:
            recordings.append(_recording(call, seconds, kind, rng))
    return recordings


def _recording(call: Record, seconds: int, kind: str, rng: random.Random) -> Record:
    began = parse_rfc2822(call["start_time"]) or 0
    start, sid = began + min(3, seconds - 1), f"RE{rng.getrandbits(128):032x}"
    end = began + seconds
    length = 0 if kind == "absent" else end - start
    minutes = -(-length // 60)
    uri = f"{API}/{call['account_sid']}/Recordings/{sid}"
    return {
        "account_sid": call["account_sid"],
        "api_version": "2010-04-01",
        "call_sid": call["sid"],
        "channels": 1,
        "conference_sid": None,
        "date_created": rfc2822(start),
        "date_updated": rfc2822(end + 30),
        "duration": str(length),
        "encryption_details": None,
        "error_code": 16100 if kind == "absent" else None,
        "media_url": f"https://api.twilio.com{uri}",
        "price": f"-{RECORDING * minutes:.5f}" if minutes and kind != "unpriced" else None,
        "price_unit": "USD",
        "sid": sid,
        "source": "DialVerb" if call["direction"] == "inbound" else "OutboundAPI",
        "start_time": rfc2822(start),
        "status": kind if kind in ("deleted", "absent") else "completed",
        "subresource_uris": {
            "add_on_results": f"{uri}/AddOnResults.json",
            "transcriptions": f"{uri}/Transcriptions.json",
        },
        "uri": f"{uri}.json",
        "_sandbox": {
            "price_from": iso(end + int(rng.random() * 3 * HOUR)),
            "status_history": [
                [iso(start), "in-progress"],
                [iso(end), "processing"],
                [iso(end + 30), "absent" if kind == "absent" else "completed"],
            ],
        },
    }


def _accounts(cast: Cast) -> list[Record]:
    created = rfc2822(day_start(cast.first) - 400 * 86_400)
    owners = {tenant.account_sid: tenant.name for tenant in cast.tenants if tenant.role.subaccount}
    return [
        {
            "auth_token": token,
            "date_created": created,
            "date_updated": created,
            "friendly_name": owners.get(sid, "Main account"),
            "owner_account_sid": cast.main_account,
            "sid": sid,
            "status": "active",
            "subresource_uris": {
                "messages": f"{API}/{sid}/Messages.json",
                "calls": f"{API}/{sid}/Calls.json",
                "recordings": f"{API}/{sid}/Recordings.json",
                "incoming_phone_numbers": f"{API}/{sid}/IncomingPhoneNumbers.json",
                "usage": f"{API}/{sid}/Usage.json",
            },
            "type": "Full",
            "uri": f"{API}/{sid}.json",
        }
        for sid, token in cast.tokens.items()
    ]


def _phone_numbers(cast: Cast, days: list[date], rng: random.Random) -> list[Record]:
    before = day_start(cast.first) - 300 * 86_400
    owned: list[tuple[str, str]] = [(cast.main_account, cast.pool_number)]
    for tenant in cast.tenants:
        numbers = tenant.numbers + ([tenant.leaves[0]] if tenant.leaves else [])
        owned += [(tenant.account_sid, number) for number in numbers]
    lasting = [_phone_number(account, number, hex_id(rng, "PN"), rfc2822(before)) for account, number in owned]
    middle = day_start(days[len(days) // 2])
    first, second = cast.tenants[0].account_sid, cast.tenants[1].account_sid
    toll_free = _phone_number(first, cast.toll_free_number, hex_id(rng, "PN"), rfc2822(before), "toll free")
    new = _phone_number(second, cast.new_number, hex_id(rng, "PN"), rfc2822(middle + 15 * HOUR))
    gone = _phone_number(first, cast.released_number, hex_id(rng, "PN"), rfc2822(before))
    gone["_sandbox"] = {"vanishes_at": iso(middle + 10 * HOUR)}
    return [*lasting, toll_free, new, gone]


def _phone_number(account_sid: str, number: str, sid: str, created: str, kind: str = "local") -> Record:
    return {
        "account_sid": account_sid,
        "address_requirements": "none",
        "address_sid": None,
        "api_version": "2010-04-01",
        "beta": False,
        "bundle_sid": None,
        "capabilities": {"fax": False, "mms": True, "sms": True, "voice": True},
        "date_created": created,
        "date_updated": created,
        "emergency_address_sid": None,
        "emergency_address_status": "unregistered",
        "emergency_status": "Inactive",
        "friendly_name": f"({number[2:5]}) {number[5:8]}-{number[8:]}",
        "identity_sid": None,
        "origin": "twilio",
        "phone_number": number,
        "sid": sid,
        "sms_application_sid": None,
        "sms_fallback_method": "POST",
        "sms_fallback_url": "",
        "sms_method": "POST",
        "sms_url": "",
        "status": "in-use",
        "status_callback": "",
        "status_callback_method": "POST",
        "trunk_sid": None,
        "type": kind,
        "uri": f"{API}/{account_sid}/IncomingPhoneNumbers/{sid}.json",
        "voice_application_sid": None,
        "voice_caller_id_lookup": False,
        "voice_fallback_method": "POST",
        "voice_fallback_url": "",
        "voice_method": "POST",
        "voice_receive_mode": "voice",
        "voice_url": "",
    }
