"""The wrapped SendGrid client against the sandbox: recipients, sandbox mode, templates, subusers, failures."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sendgrid import SendGridAPIClient
from sendgrid.helpers.mail import Bcc, Cc, Mail, MailSettings, SandBoxMode, To

from sandbox import Dataset, Sandbox, running
from sandbox.state import SENDGRID_API_KEY
from usage_metering.context import usage_context
from usage_metering.guard import UsageCapReached
from usage_metering.sendgrid_client import TrackedSendGrid, recipients
from wrapping import RecordingGuard, RecordingTracker, raised_by, same_failure

NOW = datetime(2026, 11, 10, 12, tzinfo=UTC)
SECRET, CUSTOMER = "your test came back negative", "sam@example.com"
SENT: dict[str, Any] = {"service": "sendgrid", "operation": "send", "channel": "email", "direction": "outbound"}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    subusers = [{"id": 1, "username": "acme", "email": "acme@example.com", "disabled": False}]
    with running(Dataset(sendgrid_subusers=subusers), now=NOW) as served:
        yield served


@pytest.fixture(autouse=True)
def _no_faults(sandbox: Sandbox) -> Iterator[None]:
    yield
    sandbox.faults.clear()


@pytest.fixture
def bare(sandbox: Sandbox) -> SendGridAPIClient:
    return SendGridAPIClient(SENDGRID_API_KEY, host=sandbox.url)


@pytest.fixture
def tracker() -> RecordingTracker:
    return RecordingTracker()


@pytest.fixture
def tracked(bare: SendGridAPIClient, tracker: RecordingTracker) -> TrackedSendGrid:
    return TrackedSendGrid(bare, tracker, feature_by_template={"d-welcome": "onboarding"})


def mail(*to: str) -> Any:
    return Mail("us@example.com", list(to) or [CUSTOMER], "Results", SECRET)


def with_copies() -> Any:
    one = mail(CUSTOMER, "two@example.com")
    one.add_cc(Cc("three@example.com"))
    one.add_bcc(Bcc("four@example.com"))
    return one


def personalized() -> Any:
    addressed = [To(f"user{number}@example.com") for number in range(25)]
    return Mail("us@example.com", addressed, "Results", SECRET, is_multiple=True)


def from_template() -> dict[str, Any]:
    return {
        "from": {"email": "us@example.com"},
        "template_id": "d-welcome",
        "personalizations": [
            {"to": [{"email": CUSTOMER}]},
            {"to": [{"email": "b@e.com"}], "cc": [{"email": "c@e.com"}]},
        ],
    }


def sandboxed() -> Any:
    one = mail()
    settings = MailSettings()
    settings.sandbox_mode = SandBoxMode(True)
    one.mail_settings = settings
    return one


Make = Callable[[Any], Any]
CASES: dict[str, tuple[Make, dict[str, Any]]] = {
    "send": (lambda c: c.send(mail()), {**SENT, "units": 1}),
    "send, copies": (lambda c: c.send(with_copies()), {**SENT, "units": 4}),
    "send, personalized": (lambda c: c.send(personalized()), {**SENT, "units": 25}),
    "send, dict": (lambda c: c.send(mail().get()), {**SENT, "units": 1}),
    "post": (lambda c: c.client.mail.send.post(request_body=with_copies().get()), {**SENT, "units": 4}),
    "post, positional": (lambda c: c.client.mail.send.post(mail().get()), {**SENT, "units": 1}),
    "post, by segments": (lambda c: c.client._("mail/send").post(request_body=mail().get()), {**SENT, "units": 1}),
    "post, no version": (
        lambda c: c.client.version(None)._("v3").mail.send.post(request_body=mail().get()),
        {**SENT, "units": 1},
    ),
    "post, text": (
        lambda c: c.client.mail.send.post(
            json.dumps(mail(CUSTOMER, "two@example.com").get()),
            request_headers={"Content-Type": "application/json; charset=utf-8"},
        ),
        {**SENT, "units": 2},
    ),
    "post, query": (lambda c: c.client._("mail/send?x=1").post(request_body=mail().get()), {**SENT, "units": 1}),
    "post, by version": (lambda c: c.client.version(3).mail.send.post(request_body=mail().get()), {**SENT, "units": 1}),
    "template": (
        lambda c: c.client.mail.send.post(request_body=from_template()),
        {**SENT, "units": 3, "feature": "onboarding", "metadata": {"template_id": "d-welcome"}},
    ),
}


def parts_of(response: Any) -> tuple[Any, ...]:
    return type(response), response.status_code, response.body, sorted(response.headers), response.to_dict


def requested(sandbox: Sandbox) -> int:
    counted: int = 0
    for record in sandbox.dataset.sendgrid_stats:
        counted += record["metrics"]["requests"] + record.get("_sandbox", {}).get("sent", {}).get("requests", 0)
    return counted


@pytest.mark.parametrize("name", CASES)
def test_the_exact_event_and_the_bare_clients_answer(
    name: str, sandbox: Sandbox, bare: Any, tracked: Any, tracker: RecordingTracker
) -> None:
    make, expected = CASES[name]
    by_hand = make(bare)
    assert tracker.events == []
    before = requested(sandbox)
    with usage_context(tenant_id="acme"):
        found = make(tracked)
    assert parts_of(found) == parts_of(by_hand)
    assert tracker.only == {"tenant_id": "acme", "external_id": found.headers["X-Message-Id"], **expected}
    assert requested(sandbox) - before == expected["units"]
    assert SECRET not in repr(tracker.events)
    assert "@" not in repr(tracker.events)


@pytest.mark.parametrize("method", ["post", "put", "patch"])
@pytest.mark.parametrize("path", ["mail/send", "asm/../mail/./send", "mail/%73end"])
def test_no_path_goes_round_the_guard(bare: Any, tracker: RecordingTracker, path: str, method: str) -> None:
    guarded = TrackedSendGrid(bare, tracker, RecordingGuard(refuses=True))
    with usage_context(tenant_id="acme"), pytest.raises(UsageCapReached):
        getattr(guarded.client._(path), method)(request_body=mail().get())


def test_mail_in_sandbox_mode_is_not_metered(sandbox: Sandbox, bare: Any, tracker: RecordingTracker) -> None:
    guard = RecordingGuard()
    before = requested(sandbox)
    with usage_context(tenant_id="acme"):
        assert parts_of(TrackedSendGrid(bare, tracker, guard).send(sandboxed())) == parts_of(bare.send(sandboxed()))
    assert (tracker.events, guard.held, requested(sandbox)) == ([], [], before)


def test_a_subuser_is_the_resource(sandbox: Sandbox, tracker: RecordingTracker) -> None:
    behalf = SendGridAPIClient(SENDGRID_API_KEY, host=sandbox.url, impersonate_subuser="acme")
    TrackedSendGrid(behalf, tracker).send(mail())
    assert tracker.only["resource_id"] == "acme"
    tracker.events.clear()
    plain: Any = TrackedSendGrid(SendGridAPIClient(SENDGRID_API_KEY, host=sandbox.url), tracker)
    plain.client.mail.send.post(request_body=mail().get(), request_headers={"on-behalf-of": "acme"})
    assert tracker.only["resource_id"] == "acme"


@pytest.mark.parametrize("case", ["refused", "unknown subuser", "401", "429", "500", "cut", "wrong body"])
def test_a_failed_call_raises_what_the_bare_client_raises_and_records_nothing(
    case: str, sandbox: Sandbox, bare: Any, tracker: RecordingTracker
) -> None:
    guard = RecordingGuard()
    failures = []
    if case == "unknown subuser":
        bare = SendGridAPIClient(SENDGRID_API_KEY, host=sandbox.url, impersonate_subuser="nobody")
    for client in (bare, TrackedSendGrid(bare, tracker, guard)):
        if case.isdigit():
            sandbox.faults.add("/mail/send", status=int(case))
        elif case == "cut":
            sandbox.faults.add("/mail/send", cut="before")
        body: Any = (
            {"from": {}} if case == "refused" else {"personalizations": object()} if case == "wrong body" else mail()
        )
        with usage_context(tenant_id="acme"):
            failures.append(raised_by(lambda client=client, body=body: client.send(body)))
    same_failure(*failures)
    assert tracker.events == []
    assert {held.outcome for held in guard.held} <= {"released"}


def test_other_paths_are_not_metered(bare: Any, tracked: Any, tracker: RecordingTracker) -> None:
    query = {"start_date": NOW.date().isoformat()}
    assert tracked.client.stats.get(query_params=query).to_dict == bare.client.stats.get(query_params=query).to_dict
    same_failure(
        raised_by(lambda: bare.client.mail.batch.post(request_body={})),
        raised_by(lambda: tracked.client.mail.batch.post(request_body={})),
    )
    assert tracker.events == []


def test_who_says_what_a_mail_is_for(tracked: Any, tracker: RecordingTracker) -> None:
    tracked.send(from_template(), metering={"tenant_id": "acme", "feature": "own", "operation": "reminder"})
    with usage_context(tenant_id="acme", feature="outer"):
        tracked.client.mail.send.post(request_body=from_template(), metering={"lead_id": "L1"})
    first, second = tracker.events
    assert (first["feature"], first["activity"], first["operation"]) == ("own", "reminder", "send")
    assert (second["feature"], second["lead_id"], second["tenant_id"]) == ("outer", "L1", "acme")


def test_it_is_the_users_client_in_all_else(bare: Any, tracked: Any) -> None:
    assert isinstance(tracked, SendGridAPIClient)
    assert type(tracked) is TrackedSendGrid
    assert isinstance(tracked.client, type(bare.client))
    assert tracked.api_key == bare.api_key
    assert tracked.client.host == bare.client.host
    tracked.reset_request_headers()
    tracked.client.timeout = 5
    assert bare.client.timeout == 5
    assert dir(tracked) == dir(bare)


def test_a_tracker_that_fails_is_not_noticed(bare: Any) -> None:
    assert TrackedSendGrid(bare, RecordingTracker(fails=True)).send(mail()).status_code == 202


def test_room_is_reserved_before_and_settled_after(sandbox: Sandbox, bare: Any, tracker: RecordingTracker) -> None:
    guard = RecordingGuard()
    with usage_context(tenant_id="acme"):
        found = TrackedSendGrid(bare, tracker, guard, {"d-welcome": "onboarding"}).send(from_template())
    held = guard.only
    assert (held.tenant_id, held.channel, held.units, held.feature) == ("acme", "email", 3, "onboarding")
    assert (held.settlement, held.outcome) == ((found.headers["X-Message-Id"], 3), "settled")
    count = len(sandbox.requests)
    with usage_context(tenant_id="acme"), pytest.raises(UsageCapReached):
        TrackedSendGrid(bare, tracker, RecordingGuard(refuses=True)).send(mail())
    assert len(sandbox.requests) == count


@pytest.mark.parametrize(
    "body", [None, {}, {"personalizations": None}, {"personalizations": [{"to": None}]}, {"personalizations": [3]}, "x"]
)
def test_what_is_no_mail_has_no_recipients(body: Any) -> None:
    assert recipients(body) == 0
