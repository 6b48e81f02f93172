"""The wrapped Twilio client against the sandbox: the exact event of every way to create, and nothing else that differs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from twilio.base.exceptions import TwilioRestException
from twilio.http.async_http_client import AsyncTwilioHttpClient
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from sandbox import Dataset, Sandbox, running
from usage_metering.context import usage_context
from usage_metering.guard import UsageCapReached
from usage_metering.twilio_client import TrackedTwilio
from wrapping import RecordingGuard, RecordingTracker, raised_by, same_failure

NOW = datetime(2026, 11, 10, 12, tzinfo=UTC)
MAIN, SUB = "AC" + "1" * 32, "AC" + "2" * 32
SENDER, CUSTOMER = "+12065550100", "+19015550137"
SERVICE = "MG" + "3" * 32
SECRET = "your test came back negative"

Make = Callable[[Any], Any]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    accounts = [{"sid": sid, "owner_account_sid": MAIN, "status": "active"} for sid in (MAIN, SUB)]
    numbers = [{"sid": f"PN{sid}", "account_sid": sid, "phone_number": SENDER} for sid in (MAIN, SUB)]
    with running(Dataset(twilio_accounts=accounts, twilio_phone_numbers=numbers), now=NOW) as served:
        yield served


@pytest.fixture(autouse=True)
def _no_faults(sandbox: Sandbox) -> Iterator[None]:
    yield
    sandbox.faults.clear()


def client_of(sandbox: Sandbox, **options: Any) -> Client:
    environment = sandbox.environment()
    client = Client(environment["TWILIO_ACCOUNT_SID"], environment["TWILIO_AUTH_TOKEN"], **options)
    client.api.base_url = sandbox.url
    return client


@pytest.fixture
def bare(sandbox: Sandbox) -> Client:
    return client_of(sandbox)


@pytest.fixture
def tracker() -> RecordingTracker:
    return RecordingTracker()


@pytest.fixture
def tracked(bare: Client, tracker: RecordingTracker) -> TrackedTwilio:
    return TrackedTwilio(bare, tracker)


def properties_of(instance: Any) -> dict[str, Any]:
    """What of a created resource is the same every time."""
    varying = {"sid", "uri", "subresource_uris", "_solution", "_version", "_context"}
    return {name: value for name, value in vars(instance).items() if name not in varying}


def sms(**more: Any) -> dict[str, Any]:
    return {"to": CUSTOMER, "from_": SENDER, "body": SECRET, **more}


def by_service(**more: Any) -> dict[str, Any]:
    return {"to": CUSTOMER, "messaging_service_sid": SERVICE, "body": SECRET, **more}


CALL = {"to": CUSTOMER, "from_": SENDER, "twiml": f"<Response><Say>{SECRET}</Say></Response>"}
TEXT: dict[str, Any] = {"service": "twilio_sms", "operation": "outbound", "channel": "sms", "direction": "outbound"}
MMS = {**TEXT, "operation": "mms_outbound", "channel": "mms", "units": 1}
VOICE = {**TEXT, "service": "twilio_voice", "channel": "voice", "units": 0}

CASES: dict[str, tuple[Make, dict[str, Any]]] = {
    "sms": (lambda c: c.messages.create(**sms()), {**TEXT, "units": 1}),
    "sms, long": (lambda c: c.messages.create(**sms(body="€" * 81)), {**TEXT, "units": 2}),
    "sms, emoji": (lambda c: c.messages.create(**sms(body="😀" * 36)), {**TEXT, "units": 2}),
    "sms, positional": (lambda c: c.messages.create(CUSTOMER, body=SECRET, from_=SENDER), {**TEXT, "units": 1}),
    "service": (
        lambda c: c.messages.create(**by_service(body="a" * 161)),
        {**TEXT, "units": 2, "resource_id": SERVICE},
    ),
    "service, smart": (
        lambda c: c.messages.create(**by_service(body="“" + "a" * 100, smart_encoded=True)),
        {**TEXT, "units": 1, "resource_id": SERVICE},
    ),
    "service, template": (
        lambda c: c.messages.create(to=CUSTOMER, messaging_service_sid=SERVICE, content_sid="HX1"),
        {**TEXT, "units": 1, "resource_id": SERVICE},
    ),
    "service, scheduled": (
        lambda c: c.messages.create(**by_service(schedule_type="fixed", send_at=NOW + timedelta(hours=2))),
        {**TEXT, "units": 1, "resource_id": SERVICE},
    ),
    "whatsapp": (
        lambda c: c.messages.create(**sms(to=f"whatsapp:{CUSTOMER}", from_=f"whatsapp:{SENDER}")),
        {**TEXT, "units": 1},
    ),
    "mms": (lambda c: c.messages.create(**sms(body="a" * 500, media_url=["https://example.com/1.png"])), MMS),
    "mms, two": (
        lambda c: c.messages.create(**by_service(media_url=["https://e.com/1", "https://e.com/2"])),
        {
            **MMS,
            "resource_id": SERVICE,
        },
    ),
    "call": (lambda c: c.calls.create(**CALL), VOICE),
    "call, url": (lambda c: c.calls.create(to=CUSTOMER, from_=SENDER, url="https://example.com/x"), VOICE),
    "api domain": (lambda c: c.api.account.messages.create(**sms()), {**TEXT, "units": 1}),
    "api version": (lambda c: c.api.v2010.account.calls.create(**CALL), VOICE),
    "subaccount": (
        lambda c: c.api.accounts(SUB).messages.create(**sms()),
        {**TEXT, "units": 1, "resource_id": SUB},
    ),
    "subaccount, call": (lambda c: c.api.accounts(SUB).calls.create(**CALL), {**VOICE, "resource_id": SUB}),
}
if hasattr(Client, "messages"):
    CASES["http info"] = (lambda c: c.messages.create_with_http_info(**sms()).data, {**TEXT, "units": 1})


@pytest.mark.parametrize("name", CASES)
def test_the_exact_event_and_the_bare_clients_answer(
    name: str, sandbox: Sandbox, bare: Client, tracked: TrackedTwilio, tracker: RecordingTracker
) -> None:
    make, expected = CASES[name]
    by_hand = make(bare)
    assert tracker.events == []
    with usage_context(tenant_id="acme", feature="broadcast"):
        found = make(tracked)
    assert type(found) is type(by_hand)
    assert properties_of(found) == properties_of(by_hand)
    assert SECRET not in repr(tracker.events)
    assert CUSTOMER not in repr(tracker.events)
    assert tracker.only == {
        "tenant_id": "acme",
        "feature": "broadcast",
        "external_id": found.sid,
        **expected,
    }


@pytest.mark.parametrize("name", ["sms, long", "service", "mms", "call"])
def test_async_likewise(name: str, sandbox: Sandbox, tracker: RecordingTracker) -> None:
    async def both() -> list[Any]:
        async with AsyncTwilioHttpClient() as http:
            bare = client_of(sandbox, http_client=http)
            made = []
            for client in (bare, TrackedTwilio(bare, tracker)):
                resource = client.calls if name == "call" else client.messages
                arguments = {
                    "sms, long": sms(body="€" * 81),
                    "service": by_service(body="a" * 161),
                    "mms": sms(media_url=["https://example.com/1.png"]),
                    "call": CALL,
                }[name]
                with usage_context(tenant_id="acme"):
                    made.append(await resource.create_async(**arguments))
            with pytest.raises(TwilioRestException):
                await TrackedTwilio(bare, tracker).messages.create_async(to="x", from_=SENDER, body="y")
            return made

    bare, found = asyncio.run(both())
    assert type(found) is type(bare)
    assert properties_of(found) == properties_of(bare)
    assert tracker.only == {"tenant_id": "acme", "external_id": found.sid, **CASES[name][1]}
    assert tracker.threads[0] != threading.get_ident()


def test_the_providers_number_of_segments_wins(
    sandbox: Sandbox, tracked: TrackedTwilio, tracker: RecordingTracker
) -> None:
    body = {"sid": "SM1", "num_segments": "7", "num_media": "0", "body": "x", "status": "queued"}
    sandbox.faults.add("/Messages.json", status=201, body=body)
    tracked.messages.create(**sms())
    assert tracker.only["units"] == 7
    tracker.events.clear()
    sandbox.faults.add("/Messages.json", status=201, body={**body, "num_segments": None, "num_media": "1"})
    tracked.messages.create(**sms())
    assert (tracker.only["channel"], tracker.only["units"]) == ("mms", 1)
    tracker.events.clear()
    sandbox.faults.add("/Messages.json", status=201, body={**body, "num_segments": None, "status": "failed"})
    tracked.messages.create(**sms())
    assert (tracker.only["units"], tracker.only["metadata"]) == (1, {"status": "failed"})


FAILURES: dict[str, tuple[dict[str, Any] | None, Make]] = {
    "no such number": (None, lambda c: c.messages.create(**sms(to="+15005550001"))),
    "not our number": (None, lambda c: c.messages.create(**sms(from_="+12065550199"))),
    "no body": (None, lambda c: c.messages.create(to=CUSTOMER, from_=SENDER)),
    "call without url": (None, lambda c: c.calls.create(to=CUSTOMER, from_=SENDER)),
    "429": ({"status": 429}, lambda c: c.messages.create(**sms())),
    "500": ({"status": 500}, lambda c: c.calls.create(**CALL)),
    "401": ({"status": 401}, lambda c: c.messages.create(**sms())),
    "wrong argument": (None, lambda c: c.messages.create(**sms(colour="red"))),
    "no such attribute": (None, lambda c: c.nonsense),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failed_call_raises_what_the_bare_client_raises_and_records_nothing(
    name: str, sandbox: Sandbox, bare: Client, tracker: RecordingTracker
) -> None:
    fault, make = FAILURES[name]
    guard = RecordingGuard()
    failures = []
    for client in (bare, TrackedTwilio(bare, tracker, guard)):
        if fault is not None:
            sandbox.faults.add(".json", **fault)
        with usage_context(tenant_id="acme"):
            failures.append(raised_by(lambda client=client: make(client)))
    same_failure(*failures)
    assert tracker.events == []
    assert {held.outcome for held in guard.held} <= {"released"}


@pytest.mark.parametrize("fault", [{"cut": "before"}, {"cut": "middle"}, {"status": None, "delay": 1.0}])
def test_a_broken_connection_and_a_timeout_likewise(
    fault: dict[str, Any], sandbox: Sandbox, tracker: RecordingTracker
) -> None:
    bare = client_of(sandbox, http_client=TwilioHttpClient(timeout=0.3, pool_connections=False))
    failures = []
    for client in (bare, TrackedTwilio(bare, tracker)):
        sandbox.faults.add("/Messages.json", **fault)
        failures.append(raised_by(lambda client=client: client.messages.create(**sms())))
    assert type(failures[0]) is type(failures[1])
    assert isinstance(failures[0], requests.RequestException)
    assert tracker.events == []


def test_what_is_only_read_is_not_metered(bare: Client, tracked: TrackedTwilio, tracker: RecordingTracker) -> None:
    sent = bare.messages.create(**sms())
    assert tracked.messages(sent.sid).fetch().sid == sent.sid
    assert [one.sid for one in tracked.messages.list(limit=3)] == [one.sid for one in bare.messages.list(limit=3)]
    assert tracker.events == []


def test_it_is_the_users_client_in_all_else(sandbox: Sandbox, bare: Client, tracked: TrackedTwilio) -> None:
    assert isinstance(tracked, Client)
    assert type(tracked) is TrackedTwilio
    assert tracked.account_sid == bare.account_sid
    assert tracked.verify is bare.verify
    assert dir(tracked) == dir(bare)
    assert "TrackedTwilio of" in repr(tracked)
    tracked.edge = "sydney"
    assert bare.edge == "sydney"
    bare.edge = None
    assert tracked.api.base_url == sandbox.url
    assert bare.api.twilio is bare


def test_metering_says_whose_it_is(tracked: TrackedTwilio, tracker: RecordingTracker) -> None:
    metering = {"tenant_id": "acme", "feature": "broadcast", "operation": "reminder", "metadata": {"run": 7}}
    with usage_context(tenant_id="other", lead_id="L1"):
        tracked.messages.create(**sms(), metering=metering)
        tracked.calls.create(**CALL, metering={"tenant_id": "acme"})
    first, second = tracker.events
    assert (first["tenant_id"], first["feature"], first["activity"]) == ("acme", "broadcast", "reminder")
    assert (first["lead_id"], first["metadata"], first["operation"]) == ("L1", {"run": 7}, "outbound")
    assert (second["tenant_id"], second.get("feature")) == ("acme", None)


def test_a_tracker_that_fails_is_not_noticed(bare: Client) -> None:
    assert TrackedTwilio(bare, RecordingTracker(fails=True)).messages.create(**sms()).sid


@pytest.mark.parametrize(
    ("make", "channel", "units", "settled"),
    [
        (lambda c: c.messages.create(**by_service(body="a" * 161)), "sms", 2, 2),
        (lambda c: c.messages.create(**sms(media_url=["https://example.com/1.png"])), "mms", 1, 1),
        (lambda c: c.calls.create(**CALL), "voice", 1, 0),
        (lambda c: c.calls.create(**CALL, time_limit=125), "voice", 3, 0),
    ],
)
def test_room_is_reserved_before_and_settled_after(
    make: Make, channel: str, units: int, settled: int, bare: Client, tracker: RecordingTracker
) -> None:
    guard = RecordingGuard()
    with usage_context(tenant_id="acme", feature="broadcast"):
        made = make(TrackedTwilio(bare, tracker, guard))
    held = guard.only
    assert (held.tenant_id, held.channel, held.units, held.feature) == ("acme", channel, units, "broadcast")
    assert (held.settlement, held.outcome) == ((made.sid, settled), "settled")
    assert tracker.reservations == [held.id]


def test_a_refused_message_is_never_sent(sandbox: Sandbox, bare: Client, tracker: RecordingTracker) -> None:
    count = len(sandbox.requests)
    guard = RecordingGuard(refuses=True)

    async def refused() -> None:
        async with AsyncTwilioHttpClient() as http:
            await TrackedTwilio(client_of(sandbox, http_client=http), tracker, guard).calls.create_async(**CALL)

    with usage_context(tenant_id="acme"):
        with pytest.raises(UsageCapReached):
            TrackedTwilio(bare, tracker, guard).messages.create(**sms())
        with pytest.raises(UsageCapReached):
            asyncio.run(refused())
    assert len(sandbox.requests) == count
    assert tracker.events == []
