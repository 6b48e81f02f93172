"""What the sandbox does when something is sent through it: the providers' answers, and their own usage data after."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, cast

import pytest
import requests
from starlette.requests import Request

from sandbox import Dataset, Sandbox, running
from sandbox.openai_inference import Inference, Sender
from sandbox.openai_replies import sample
from sandbox.state import State

from .conftest import Http
from .test_openai import COMPLETIONS, COSTS, EMBEDDINGS
from .test_specs import ACCOUNT, SENDGRID, SPECS, TWILIO, unknown_fields, validate, validate_value

needs_specs = pytest.mark.skipif(not SPECS.is_dir(), reason=f"no folder of specifications at {SPECS}")

INFERENCE = "openai_inference.json"
NOW = datetime(2026, 11, 10, 12, tzinfo=UTC)
SENDER, CUSTOMER, SERVICE = "+12065550100", "+19015550137", "MG" + "3" * 32
MESSAGES = [{"role": "user", "content": "When are you open?"}]
PROMPT = -(-(len("user") + len("When are you open?") + 1) // 4) + 4 + 3


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    number = {"sid": "PN1", "account_sid": "AC" + "0" * 32, "phone_number": SENDER}
    subusers = [{"id": 1, "username": "acme", "email": "acme@example.com", "disabled": False}]
    with running(Dataset(twilio_phone_numbers=[number], sendgrid_subusers=subusers), now=NOW) as served:
        yield served


@pytest.fixture
def ask(sandbox: Sandbox) -> Http:
    return Http(sandbox)


def create(ask: Http, resource: str, **fields: Any) -> requests.Response:
    url = f"{ask.sandbox.url}/2010-04-01/Accounts/{ask.account}/{resource}.json"
    return requests.post(url, fields, auth=(ask.account, ask.environment["TWILIO_AUTH_TOKEN"]), timeout=10)


def infer(ask: Http, path: str, key: str | None = None, headers: dict[str, str] | None = None, **body: Any) -> Any:
    headers = {"Authorization": f"Bearer {key or ask.environment['OPENAI_API_KEY']}", **(headers or {})}
    url = f"{ask.environment['OPENAI_BASE_URL']}{path}"
    return requests.post(url, json=body, headers=headers, timeout=10)


def send(ask: Http, body: Any, **headers: str) -> requests.Response:
    headers = {"Authorization": f"Bearer {ask.environment['SENDGRID_API_KEY']}", **headers}
    return requests.post(f"{ask.sandbox.url}/v3/mail/send", json=body, headers=headers, timeout=10)


def bucket(ask: Http, path: str, **more: Any) -> list[dict[str, Any]]:
    start = int(NOW.replace(hour=0).timestamp())
    found: list[dict[str, Any]] = ask.openai(path, start_time=start, **more).json()["data"][0]["results"]
    return found


# --- Twilio


SENT = [
    ({"From": SENDER, "Body": "Hello"}, "queued", "1"),
    ({"From": SENDER, "Body": "a" * 161}, "queued", "2"),
    ({"From": SENDER, "Body": "See", "MediaUrl": ["https://e.com/1", "https://e.com/2"]}, "queued", "1"),
    ({"MessagingServiceSid": SERVICE, "Body": "a" * 161}, "accepted", "0"),
    (
        {"MessagingServiceSid": SERVICE, "Body": "x", "ScheduleType": "fixed", "SendAt": "2026-11-10T14:00:00Z"},
        "scheduled",
        "0",
    ),
]


@needs_specs
@pytest.mark.parametrize(("fields", "status", "segments"), SENT)
def test_a_message_is_answered_as_the_specification_says(
    ask: Http, fields: dict[str, Any], status: str, segments: str
) -> None:
    answer = create(ask, "Messages", To=CUSTOMER, **fields)
    validate(TWILIO, f"{ACCOUNT}/Messages.json", answer, "201", "post")
    message = answer.json()
    assert unknown_fields(TWILIO, "api.v2010.account.message", message) == set()
    assert (message["status"], message["num_segments"], message["to"]) == (status, segments, CUSTOMER)
    assert (message["price"], message["date_sent"], message["direction"]) == (None, None, "outbound-api")
    assert message["from"] == fields.get("From")
    assert message["num_media"] == str(len(fields.get("MediaUrl", [])))


def test_a_message_is_sent_delivered_and_priced_in_time(sandbox: Sandbox, ask: Http) -> None:
    created = create(ask, "Messages", To=CUSTOMER, MessagingServiceSid=SERVICE, Body="a" * 161).json()
    since = {"DateSent>": "2026-11-10T00:00:00Z"}
    assert ask.all_of("Messages.json", "messages", **since) == []
    assert ask.all_of("Messages.json", "messages") == [created]
    sandbox.now = NOW + timedelta(seconds=3)
    (sent,) = ask.all_of("Messages.json", "messages", **since)
    assert (sent["sid"], sent["status"], sent["num_segments"]) == (created["sid"], "sent", "2")
    assert (sent["from"], sent["price"]) == (SENDER, None)
    sandbox.now = NOW + timedelta(minutes=20)
    (settled,) = ask.all_of("Messages.json", "messages", **since)
    assert (settled["status"], settled["price"]) == ("delivered", "-0.01660")
    assert ask.twilio(f"Messages/{created['sid']}.json").json() == settled


@needs_specs
def test_a_call_is_answered_as_the_specification_says(ask: Http) -> None:
    answer = create(ask, "Calls", To=CUSTOMER, From=SENDER, Twiml="<Response/>")
    validate(TWILIO, f"{ACCOUNT}/Calls.json", answer, "201", "post")
    assert unknown_fields(TWILIO, "api.v2010.account.call", answer.json()) == set()


def test_a_call_is_answered_held_and_priced_in_time(sandbox: Sandbox, ask: Http) -> None:
    created = create(ask, "Calls", To=CUSTOMER, From=SENDER, Twiml="<Response/>").json()
    assert (created["status"], created["duration"], created["start_time"]) == ("queued", None, None)
    sandbox.now = NOW + timedelta(seconds=10)
    assert ask.all_of("Calls.json", "calls")[0]["status"] == "in-progress"
    sandbox.now = NOW + timedelta(minutes=20)
    (ended,) = ask.all_of("Calls.json", "calls", **{"StartTime>": "2026-11-10"})
    assert (ended["sid"], ended["status"], ended["duration"]) == (created["sid"], "completed", "42")
    assert ended["price"] == "-0.01300"
    limited = create(ask, "Calls", To=CUSTOMER, From=SENDER, Url="https://e.com", TimeLimit="7").json()
    sandbox.now = NOW + timedelta(hours=1)
    assert ask.twilio(f"Calls/{limited['sid']}.json").json()["duration"] == "7"


@pytest.mark.parametrize(
    ("resource", "fields", "code"),
    [
        ("Messages", {"From": SENDER, "Body": "x"}, 21604),
        ("Messages", {"To": CUSTOMER, "Body": "x"}, 21603),
        ("Messages", {"To": CUSTOMER, "From": SENDER}, 21602),
        ("Messages", {"To": "nobody", "From": SENDER, "Body": "x"}, 21211),
        ("Messages", {"To": "+15005550001", "From": SENDER, "Body": "x"}, 21211),
        ("Messages", {"To": CUSTOMER, "From": "+12065550199", "Body": "x"}, 21606),
        ("Messages", {"To": CUSTOMER, "From": "??", "Body": "x"}, 21212),
        ("Messages", {"To": CUSTOMER, "From": SENDER, "Body": "x" * 1601}, 21617),
        ("Messages", {"To": CUSTOMER, "From": SENDER, "Body": "x", "ScheduleType": "fixed"}, 35118),
        ("Messages", {"To": CUSTOMER, "MessagingServiceSid": SERVICE, "Body": "x", "ScheduleType": "fixed"}, 35114),
        ("Calls", {"To": CUSTOMER, "From": SENDER}, 21205),
        ("Calls", {"To": CUSTOMER, "From": "+12065550199", "Url": "https://e.com"}, 21210),
    ],
)
def test_twilio_refuses_what_it_refuses(ask: Http, resource: str, fields: dict[str, str], code: int) -> None:
    answer = create(ask, resource, **fields)
    assert answer.status_code == 400
    assert set(answer.json()) == {"code", "message", "more_info", "status"}
    assert answer.json()["code"] == code
    assert ask.all_of(f"{resource}.json", resource.lower()) == []


def test_nobody_sends_without_the_key(ask: Http) -> None:
    url = f"{ask.sandbox.url}/2010-04-01/Accounts/{ask.account}/Messages.json"
    assert requests.post(url, {"To": CUSTOMER}, auth=(ask.account, "wrong"), timeout=10).status_code == 401
    assert requests.post(f"{ask.sandbox.url}/v3/mail/send", json={}, timeout=10).status_code == 401
    for key in ("nonsense", "sk-admin-sandbox"):
        answer = infer(ask, "/chat/completions", key=key, model="gpt-4o", messages=MESSAGES)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")


# --- OpenAI


CHAT: list[dict[str, Any]] = [
    {},
    {"model": "gpt-5-mini"},
    {"n": 2, "max_tokens": 2},
    {
        "tools": [{"type": "function", "function": {"name": "book", "parameters": {"type": "object"}}}],
        "tool_choice": {"type": "function", "function": {"name": "book"}},
    },
]


@needs_specs
@pytest.mark.parametrize("more", CHAT)
def test_a_chat_is_answered_as_the_specification_says(ask: Http, more: dict[str, Any]) -> None:
    body = {"model": "gpt-4o-mini", "messages": MESSAGES, **more}
    answer = infer(ask, "/chat/completions", **body)
    validate(INFERENCE, "/chat/completions", answer, method="post")
    assert answer.headers["openai-project"] == "proj_sandbox"
    whole = answer.json()
    assert whole["usage"]["prompt_tokens"] >= PROMPT
    assert infer(ask, "/chat/completions", **body).json()["usage"] == whole["usage"]
    streamed = infer(ask, "/chat/completions", **body, stream=True, stream_options={"include_usage": True})
    assert streamed.headers["content-type"].startswith("text/event-stream")
    lines = [line.removeprefix("data: ") for line in streamed.text.splitlines() if line]
    assert lines.pop() == "[DONE]"
    chunks = [json.loads(line) for line in lines]
    for chunk in chunks:
        validate_value(INFERENCE, {"$ref": "#/components/schemas/CreateChatCompletionStreamResponse"}, chunk)
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == whole["usage"]
    assert {chunk["usage"] is None for chunk in chunks[:-1]} == {True}
    assert len({chunk["id"] for chunk in chunks}) == 1


def test_usage_of_a_chat_is_what_can_be_reckoned(ask: Http) -> None:
    usage = infer(ask, "/chat/completions", model="gpt-4o-mini", messages=MESSAGES).json()["usage"]
    assert usage["prompt_tokens"] == PROMPT
    long = [{"role": "user", "content": "x" * 8000}]
    usage = infer(ask, "/chat/completions", model="gpt-5-mini", messages=long).json()["usage"]
    assert usage["prompt_tokens"] == 2009
    assert usage["prompt_tokens_details"]["cached_tokens"] == 896
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 64
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


RESPONSES: list[dict[str, Any]] = [
    {},
    {"model": "gpt-5-mini", "max_output_tokens": 70},
    {"tools": [{"type": "function", "name": "book", "strict": True, "parameters": {}}], "tool_choice": "required"},
]


@needs_specs
@pytest.mark.parametrize("more", RESPONSES)
def test_a_response_is_answered_as_the_specification_says(ask: Http, more: dict[str, Any]) -> None:
    body = {"model": "gpt-4o", "input": "When are you open?", "instructions": "Be brief", **more}
    answer = infer(ask, "/responses", **body)
    validate(INFERENCE, "/responses", answer, method="post")
    whole = answer.json()
    streamed = infer(ask, "/responses", **body, stream=True)
    events = [json.loads(line[6:]) for line in streamed.text.splitlines() if line.startswith("data: ")]
    names = [line[7:] for line in streamed.text.splitlines() if line.startswith("event: ")]
    assert names == [event["type"] for event in events]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    for event in events:
        if event.get("response", {}).get("usage", ...) is None:
            # The provider sends null until it is known; its specification only knows of no usage at all.
            event = {**event, "response": {key: value for key, value in event["response"].items() if key != "usage"}}
        validate_value(INFERENCE, {"$ref": "#/components/schemas/ResponseStreamEvent"}, event)
    assert events[-1]["type"] == ("response.incomplete" if "max_output_tokens" in more else "response.completed")
    assert events[-1]["response"]["usage"] == whole["usage"]
    assert events[0]["response"]["usage"] is None


def test_a_response_in_the_background(ask: Http) -> None:
    begun = infer(ask, "/responses", model="gpt-4o", input="x", background=True).json()
    assert (begun["status"], begun["usage"]) == ("queued", None)
    headers = {"Authorization": f"Bearer {ask.environment['OPENAI_API_KEY']}"}
    url = f"{ask.environment['OPENAI_BASE_URL']}/responses/"
    assert requests.get(url + begun["id"], headers=headers, timeout=10).json()["usage"]["total_tokens"] > 0
    assert requests.get(url + "resp_none", headers=headers, timeout=10).status_code == 404


@needs_specs
def test_embeddings_and_errors_are_answered_as_the_specification_says(ask: Http) -> None:
    answer = infer(ask, "/embeddings", model="text-embedding-3-small", input=["abcd", "abcdefgh"], dimensions=8)
    validate(INFERENCE, "/embeddings", answer, method="post")
    error = infer(ask, "/embeddings", model="text-embedding-3-small").json()
    validate_value(INFERENCE, {"$ref": "#/components/schemas/ErrorResponse"}, error)
    document = json.loads((SPECS / SENDGRID).read_text())
    assert "X-Message-Id" in document["paths"]["/v3/mail/send"]["post"]["responses"]["202"]["headers"]


def test_embeddings(ask: Http) -> None:
    answer = infer(ask, "/embeddings", model="text-embedding-3-small", input=["abcd", "abcdefgh"], dimensions=8)
    first, second = (one["embedding"] for one in answer.json()["data"])
    assert (len(first), answer.json()["usage"]) == (8, {"prompt_tokens": 3, "total_tokens": 3})
    assert sum(number * number for number in second) == pytest.approx(1)
    packed = infer(ask, "/embeddings", model="text-embedding-3-small", input="abcd", encoding_format="base64").json()
    assert len(struct.unpack("<1536f", base64.b64decode(packed["data"][0]["embedding"]))) == 1536
    tokens = infer(ask, "/embeddings", model="text-embedding-3-small", input=[[1, 2], [3]], dimensions=2).json()
    assert tokens["usage"]["prompt_tokens"] == 3


def test_what_was_asked_is_in_the_buckets_and_costs_of_the_day(ask: Http) -> None:
    for _ in range(2):
        chat = infer(ask, "/chat/completions", model="gpt-4o", messages=MESSAGES).json()["usage"]
    response = infer(ask, "/responses", model="gpt-4o", input="x").json()["usage"]
    infer(ask, "/chat/completions", model="gpt-4o", messages=MESSAGES, stream=True)
    infer(ask, "/embeddings", model="text-embedding-3-small", input="abcd")
    (used,) = bucket(ask, COMPLETIONS, **{"group_by[]": ["project_id", "model"]})
    assert (used["project_id"], used["model"], used["num_model_requests"]) == (
        "proj_sandbox",
        "gpt-4o-2024-08-06",
        4,
    )
    assert used["input_tokens"] == 3 * chat["prompt_tokens"] + response["input_tokens"]
    assert used["output_tokens"] == 3 * chat["completion_tokens"] + response["output_tokens"]
    (embedded,) = bucket(ask, EMBEDDINGS, **{"group_by[]": "model"})
    assert (embedded["input_tokens"], embedded["num_model_requests"]) == (1, 1)
    costs = {one["line_item"]: one for one in bucket(ask, COSTS, **{"group_by[]": "line_item"})}
    assert costs["gpt-4o-2024-08-06, output"]["quantity"] == used["output_tokens"]
    expected = Decimal(used["output_tokens"]) * 10 / 1_000_000
    assert Decimal(str(costs["gpt-4o-2024-08-06, output"]["amount"]["value"])) == expected
    assert (
        ask.openai(COMPLETIONS, start_time=int((NOW - timedelta(days=1)).timestamp()) // 86400 * 86400).json()["data"][
            0
        ]["results"]
        == []
    )


def test_a_project_is_chosen_by_its_key_or_by_a_header() -> None:
    projects = [{"id": identity, "status": "active"} for identity in ("proj_one", "proj_two")]
    with running(Dataset(openai_projects=projects), now=NOW) as sandbox:
        ask = Http(sandbox)
        body: dict[str, Any] = {"model": "gpt-4o", "messages": MESSAGES}
        of = "openai-project"
        assert infer(ask, "/chat/completions", **body).headers[of] == "proj_one"
        assert infer(ask, "/chat/completions", key="sk-proj_two", **body).headers[of] == "proj_two"
        chosen = {"OpenAI-Project": "proj_two"}
        assert infer(ask, "/chat/completions", headers=chosen, **body).headers[of] == "proj_two"
        unknown = infer(ask, "/chat/completions", headers={"OpenAI-Project": "proj_no"}, **body)
        assert unknown.status_code == 400
        ids = {one["project_id"]: one["num_model_requests"] for one in bucket(ask, COMPLETIONS, group_by="project_id")}
        assert ids == {"proj_one": 1, "proj_two": 2}


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        ("/chat/completions", {"messages": MESSAGES}, 400, "model"),
        ("/chat/completions", {"model": "gpt-4o"}, 400, "messages"),
        ("/responses", {"model": "gpt-4o"}, 400, "input"),
        ("/embeddings", {"model": "text-embedding-3-small", "input": [""]}, 400, "input"),
        ("/chat/completions", {"model": "llama", "messages": MESSAGES}, 404, None),
    ],
)
def test_openai_refuses_what_it_refuses(
    ask: Http, path: str, body: dict[str, Any], status: int, param: str | None
) -> None:
    answer = infer(ask, path, **body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)
    assert bucket(ask, COMPLETIONS) == []


def test_structured_answers_fit_their_schema() -> None:
    schema = {
        "$defs": {"Day": {"type": "string", "enum": ["mon", "tue"]}},
        "type": "object",
        "properties": {
            "day": {"$ref": "#/$defs/Day"},
            "hours": {"type": "array", "items": {"type": "integer"}},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "kind": {"const": "visit"},
            "sure": {"type": ["boolean", "null"]},
        },
    }
    assert sample(schema) == {"day": "mon", "hours": [7], "note": "sandbox", "kind": "visit", "sure": True}


# --- SendGrid


def mail(*to: str, **more: Any) -> dict[str, Any]:
    return {
        "personalizations": [{"to": [{"email": one} for one in to or ("a@example.com",)]}],
        "from": {"email": "us@example.com"},
        "subject": "Hello",
        "content": [{"type": "text/plain", "value": "Hello"}],
        **more,
    }


def requests_in(ask: Http, path: str = "/v3/stats", **more: Any) -> int:
    (day,) = ask.sendgrid(path, start_date=NOW.date().isoformat(), **more).json()
    requested: int = day["stats"][0]["metrics"]["requests"]
    return requested


def test_mail_is_in_the_stats_of_the_day(ask: Http) -> None:
    answer = send(ask, mail("a@e.com", "b@e.com"))
    assert (answer.status_code, answer.content) == (202, b"")
    assert answer.headers["X-Message-Id"]
    assert send(ask, mail("c@e.com"), **{"On-Behalf-Of": "acme"}).status_code == 202
    assert requests_in(ask) == 3  # the parent's stats include its subusers'
    assert requests_in(ask, "/v3/subusers/stats", subusers="acme") == 1
    checked = send(ask, mail(mail_settings={"sandbox_mode": {"enable": True}}))
    assert checked.status_code == 200
    assert send(ask, mail(), **{"On-Behalf-Of": "nobody"}).status_code == 403
    assert requests_in(ask) == 3


def test_mail_comes_on_top_of_what_the_day_already_holds() -> None:
    metrics = {"requests": 86_400, "processed": 86_400, "delivered": 80_000}
    stats = [{"date": NOW.date().isoformat(), "metrics": metrics, "_sandbox": {"grows": True}}]
    with running(Dataset(sendgrid_stats=stats), now=NOW) as sandbox:
        ask = Http(sandbox)
        assert requests_in(ask) == 43_200
        send(ask, mail())
        assert requests_in(ask) == 43_201
        sandbox.now = NOW + timedelta(days=1)
        assert (
            ask.sendgrid("/v3/stats", start_date=NOW.date().isoformat()).json()[0]["stats"][0]["metrics"]["requests"]
            == 86_401
        )
        seen = sandbox.dataset.at(sandbox.now).sendgrid_stats
        assert seen[0]["metrics"]["requests"] == 86_401


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"personalizations": []}, "personalizations"),
        ({"from": {}}, "from.email"),
        ({"subject": ""}, "subject"),
        ({"content": []}, "content"),
        ({"personalizations": [{"cc": [{"email": "a@e.com"}]}]}, "personalizations.0.to"),
        ({"personalizations": [{"to": [{"email": "a@e.com"}]}] * 1001}, "personalizations"),
    ],
)
def test_sendgrid_refuses_what_it_refuses(ask: Http, wrong: dict[str, Any], field: str) -> None:
    answer = send(ask, mail(**wrong))
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field)
    assert requests_in(ask) == 0
    assert send(ask, mail(template_id="d-1", content=[], subject="")).status_code == 202


# --- faults


def test_faults_reach_what_is_sent(sandbox: Sandbox, ask: Http) -> None:
    sandbox.faults.add("/Messages.json", status=429, headers={"Retry-After": "1"})
    assert create(ask, "Messages", To=CUSTOMER, From=SENDER, Body="x").json()["code"] == 20429
    sandbox.faults.add("/mail/send", status=500)
    assert send(ask, mail()).status_code == 500
    sandbox.faults.add("/embeddings", cut="before")
    with pytest.raises(requests.ConnectionError):
        infer(ask, "/embeddings", model="text-embedding-3-small", input="x")
    assert (ask.all_of("Messages.json", "messages"), requests_in(ask), bucket(ask, EMBEDDINGS)) == ([], 0, [])


def test_a_connection_that_is_cut_in_the_middle_of_an_answer_was_charged_for(sandbox: Sandbox, ask: Http) -> None:
    sandbox.faults.add("/chat/completions", cut="middle")
    with pytest.raises(requests.RequestException):
        infer(ask, "/chat/completions", model="gpt-4o", messages=MESSAGES)
    assert bucket(ask, COMPLETIONS)[0]["num_model_requests"] == 1
    sandbox.faults.add("/chat/completions", cut="middle")
    body = {"model": "gpt-4o", "messages": MESSAGES, "stream": True}
    headers = {"Authorization": f"Bearer {ask.environment['OPENAI_API_KEY']}"}
    url = f"{ask.environment['OPENAI_BASE_URL']}/chat/completions"
    answer = requests.post(url, json=body, headers=headers, stream=True, timeout=10)
    pieces: list[bytes] = []

    def read() -> None:
        for piece in answer.iter_content(None):
            pieces.append(piece)  # noqa: PERF402 - what came before the cut is kept

    with pytest.raises(requests.RequestException):
        read()
    assert b"".join(pieces).count(b"data: ") == 5  # four whole events, and half of the fifth
    before = bucket(ask, COMPLETIONS)[0]
    assert before["num_model_requests"] == 2
    sandbox.faults.clear()
    whole = infer(ask, "/chat/completions", model="gpt-4o", messages=MESSAGES).json()["usage"]
    assert before["output_tokens"] < 2 * whole["completion_tokens"]


@pytest.mark.parametrize("endpoint", ["chat", "respond"])
def test_who_has_read_the_last_line_of_a_stream_finds_it_charged(endpoint: str) -> None:
    """Or else a client that looks at its usage right after an answer sees it now and then."""
    state = State(Dataset(), NOW)
    inference = Inference(state)
    body = {"model": "gpt-4o", "messages": MESSAGES, "input": "Hello", "stream": True}
    answer = getattr(inference, endpoint)(cast(Request, None), body, Sender("proj_1", "sk-proj_1"))

    async def charged_at_each_line() -> list[int]:
        buckets = state.dataset.openai_usage_completions
        return [sum(bucket["num_model_requests"] for bucket in buckets) async for _ in answer.body_iterator]

    seen = asyncio.run(charged_at_each_line())
    assert len(seen) > 2
    assert set(seen[:-1]) == {0}
    assert seen[-1] == 1
