"""A wrapper that is given what it cannot wrap says so in one line, before anything is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai
import pytest
from sendgrid import SendGridAPIClient
from twilio.rest import Client

from usage_metering import AsyncTrackedOpenAI, TrackedOpenAI, TrackedSendGrid, TrackedTwilio, UsageTracker
from wrapping import RecordingGuard, RecordingTracker

SYNC, ASYNC = openai.OpenAI(api_key="sk-x"), openai.AsyncOpenAI(api_key="sk-x")
TWILIO, SENDGRID = Client("AC" + "0" * 32, "x"), SendGridAPIClient("SG.x")
TRACKER, GUARD = RecordingTracker(), RecordingGuard()

REFUSED: dict[str, tuple[Callable[..., Any], tuple[Any, ...], str]] = {
    "async in sync": (
        TrackedOpenAI,
        (ASYNC, TRACKER),
        "TrackedOpenAI wraps openai.OpenAI, not an object of AsyncOpenAI: AsyncTrackedOpenAI is for openai.AsyncOpenAI",
    ),
    "sync in async": (
        AsyncTrackedOpenAI,
        (SYNC, TRACKER),
        "AsyncTrackedOpenAI wraps openai.AsyncOpenAI, not an object of OpenAI",
    ),
    "swapped": (TrackedOpenAI, (TRACKER, SYNC), "TrackedOpenAI wraps openai.OpenAI, not an object of RecordingTracker"),
    "guard for tracker": (TrackedOpenAI, (SYNC, GUARD, TRACKER), "takes a UsageTracker as its second argument"),
    "tracker for guard": (
        TrackedOpenAI,
        (SYNC, TRACKER, TRACKER),
        "takes a UsageGuard, or None, as its third argument",
    ),
    "no tracker": (TrackedOpenAI, (SYNC, None), "not an object of NoneType"),
    "tracker's class": (TrackedOpenAI, (SYNC, UsageTracker), "not the class UsageTracker"),
    "client's class": (TrackedOpenAI, (openai.OpenAI, TRACKER), "not the class OpenAI"),
    "module": (TrackedOpenAI, (openai, TRACKER), "not an object of module"),
    "twice": (TrackedOpenAI, (TrackedOpenAI(SYNC, TRACKER), TRACKER), "tracked already"),
    "other vendor": (TrackedOpenAI, (TWILIO, TRACKER), "not an object of Client"),
    "twilio, other vendor": (TrackedTwilio, (SENDGRID, TRACKER), "TrackedTwilio wraps twilio.rest.Client"),
    "twilio, swapped": (TrackedTwilio, (TRACKER, TWILIO), "TrackedTwilio wraps twilio.rest.Client"),
    "twilio, twice": (TrackedTwilio, (TrackedTwilio(TWILIO, TRACKER), TRACKER), "tracked already"),
    "sendgrid, other vendor": (TrackedSendGrid, (SYNC, TRACKER), "TrackedSendGrid wraps sendgrid.SendGridAPIClient"),
    "sendgrid, twice": (TrackedSendGrid, (TrackedSendGrid(SENDGRID, TRACKER), TRACKER), "tracked already"),
    "sendgrid, guard for tracker": (TrackedSendGrid, (SENDGRID, GUARD), "takes a UsageTracker"),
    "sendgrid, features for guard": (TrackedSendGrid, (SENDGRID, TRACKER, {"d-1": "x"}), "takes a UsageGuard, or None"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_wrapped_is_refused_in_one_line(case: str) -> None:
    wrapper, given, message = REFUSED[case]
    with pytest.raises(TypeError) as refused:
        wrapper(*given)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_subclasses_and_copies_are_wrapped() -> None:
    class Own(openai.OpenAI):
        pass

    assert TrackedOpenAI(Own(api_key="sk-x"), TRACKER, GUARD).with_options(timeout=1).timeout == 1
    assert AsyncTrackedOpenAI(openai.AsyncAzureOpenAI(api_key="x", azure_endpoint="http://x", api_version="1"), TRACKER)
