"""Each resource that the newest twilio and sendgrid can make is known: metered, charged for and not metered, or free.

`twilio_methods.txt` has all of twilio's; one that a new SDK brings fails here until somebody has looked whether it is charged for, and so does
docs/metered_calls.csv where it does not name what is.
"""

from __future__ import annotations

import csv
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sendgrid
import twilio.rest
from twilio.http import HttpClient
from twilio.http.response import Response
from twilio.rest import Client

from usage_metering.context import usage_context
from usage_metering.twilio_client import CREATED, TrackedTwilio
from wrapping import RecordingGuard, RecordingTracker

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs" / "metered_calls.csv"


def created() -> Iterator[str]:
    """What can be created, as the path of its module below twilio.rest."""
    for module in pkgutil.walk_packages(twilio.rest.__path__, "twilio.rest."):
        for name, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if kind.__module__ == module.name and name.endswith(("List", "Context")) and hasattr(kind, "create"):
                yield module.name.removeprefix("twilio.rest.")


def known() -> dict[str, str]:
    lines = (HERE / "twilio_methods.txt").read_text().splitlines()
    return {resource: word for word, resource in (line.split() for line in lines if line and line[0] != "#")}


def table(name: str) -> dict[str, str]:
    """Method -> what docs/metered_calls.csv says of it."""
    rows = csv.DictReader(DOCS.read_text().splitlines())
    return {row["call"]: f"{row['metered']}, {row['with a guard']}" for row in rows if row["sdk"] == name}


def test_everything_that_twilio_creates_is_known() -> None:
    assert set(created()) == set(known()), "is it charged for?"
    assert set(known().values()) == {"metered", "charged", "free"}


def test_the_docs_name_what_twilio_charges_for() -> None:
    cells = {"metered": "yes, room is reserved", "charged": "no, let through"}
    assert table("twilio") == {name: cells[word] for name, word in known().items() if word in cells}


def test_what_is_metered_is_what_the_wrapper_sees() -> None:
    metered = {name for name, word in known().items() if word == "metered"}
    paths = {
        "api.v2010.account.message": "Messages",
        "api.v2010.account.call": "Calls",
        "api.v2010.account.conference.participant": "Conferences/CF1/Participants",
    }
    assert metered == set(paths)
    assert all(CREATED.search(f"/2010-04-01/Accounts/AC1/{path}.json") for path in paths.values())
    # Twilio takes them without the ending, too.
    assert all(CREATED.search(f"/2010-04-01/Accounts/AC1/{path}") for path in paths.values())
    others = (
        "Calls/CA1/Recordings.json",
        "Messages/SM1.json",
        "Conferences/CF1/Participants/CA1.json",
        "Messages.json/x",
    )
    assert not [path for path in others if CREATED.search(f"/2010-04-01/Accounts/AC1/{path}")]


@pytest.mark.parametrize(
    "path",
    [
        "2010-04-01/Accounts/AC1/Calls/../Messages.json",
        "2010-04-01/Accounts/AC1/SMS/Messages.json",
        "2008-08-01/Accounts/AC1/SMS/Messages",
    ],
)
def test_another_path_to_the_same_is_metered(path: str) -> None:
    tracker = RecordingTracker()
    client = Client("AC1", "x", http_client=OneAnswer('{"sid": "SM1", "num_segments": "2"}'))
    TrackedTwilio(client, tracker).request("post", f"https://api.twilio.com/{path}", data={"Body": "x"})
    assert (tracker.only["external_id"], tracker.only["channel"], tracker.only["units"]) == ("SM1", "sms", 2)


def test_sendgrid_sends_in_one_way() -> None:
    own = {name for name in dir(sendgrid.SendGridAPIClient) if not name.startswith("_")}
    assert own == {"reset_request_headers", "send", "set_sendgrid_data_residency"}
    assert table("sendgrid") == {
        "send": "yes, room is reserved",
        "client.mail.send.post": "yes, room is reserved",
        "client.marketing.singlesends._(id).schedule.put": "no, let through",
        "client.marketing.test.send_email.post": "no, let through",
        "client.validations.email.post": "no, let through",
    }


class OneAnswer(HttpClient):
    """Answers everything with this."""

    def __init__(self, text: str) -> None:
        self._text = text

    def request(self, *args: Any, **kwargs: Any) -> Response:
        return Response(201, self._text)


def test_somebody_who_is_called_to_a_conference_is_a_call() -> None:
    http = OneAnswer('{"call_sid": "CA1", "account_sid": "AC1", "conference_sid": "CF1", "status": "queued"}')
    tracker, guard = RecordingTracker(), RecordingGuard()
    tracked: Any = TrackedTwilio(Client("AC1", "x", http_client=http), tracker, guard)
    with usage_context(tenant_id="acme"):
        tracked.conferences("CF1").participants.create(from_="+12065550100", to="+19015550137", time_limit=90)
    event = tracker.only
    assert (event["service"], event["channel"], event["external_id"], event["units"]) == (
        "twilio_voice",
        "voice",
        "CA1",
        0,
    )
    assert (guard.only.channel, guard.only.units) == ("voice", 2)
