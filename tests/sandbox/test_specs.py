"""Answers against the providers' own OpenAPI documents: ../shared/specs, or METERING_SPECS_DIR."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import requests
from jsonschema import Draft202012Validator

from sandbox import Sandbox
from sandbox.openai import COUNTED, Endpoint

from .conftest import SETTLED, Http
from .test_openai import COMPLETIONS, COSTS, EMBEDDINGS, START
from .test_stripe import PATH as STRIPE_PATH
from .test_stripe import ask as ask_stripe

SPECS = Path(os.environ.get("METERING_SPECS_DIR") or Path(__file__).resolve().parents[3] / "shared" / "specs")

pytestmark = pytest.mark.skipif(not SPECS.is_dir(), reason=f"no folder of specifications at {SPECS}")

TWILIO, OPENAI, SENDGRID = "twilio_api_v2010.json", "openai_admin_usage.json", "sendgrid_v3.json"
STRIPE = "stripe_2023-08-16.json"
ACCOUNT = "/2010-04-01/Accounts/{AccountSid}"


@lru_cache
def document(name: str) -> dict[str, Any]:
    """The specification, with OpenAPI's `nullable` turned into what JSON Schema knows."""
    loaded: dict[str, Any] = _nullable(json.loads((SPECS / name).read_text()))
    return loaded


def _nullable(node: Any) -> Any:
    if isinstance(node, list):
        return [_nullable(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: _nullable(value) for key, value in node.items()}
    if node.pop("nullable", False) is True:
        return {"anyOf": [node, {"type": "null"}]}
    return node


def validate(spec: str, path: str, answer: requests.Response, status: str = "200", method: str = "get") -> None:
    assert answer.status_code == int(status), answer.text
    schema = document(spec)["paths"][path][method]["responses"][status]["content"]["application/json"]["schema"]
    validate_value(spec, schema, answer.json())


def validate_value(spec: str, schema: dict[str, Any], value: Any) -> None:
    validator = Draft202012Validator(
        {**schema, "components": document(spec)["components"]}, format_checker=Draft202012Validator.FORMAT_CHECKER
    )
    errors = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]
    assert not errors, errors[:5]


def unknown_fields(spec: str, schema: str, record: dict[str, Any]) -> set[str]:
    return set(record) - set(document(spec)["components"]["schemas"][schema]["properties"])


MOMENTS = [datetime(2026, 10, 10, 15, tzinfo=SETTLED.tzinfo), SETTLED]


@pytest.mark.parametrize("now", MOMENTS, ids=["in the middle of things", "settled"])
@pytest.mark.parametrize(
    ("path", "key", "schema"),
    [
        ("/2010-04-01/Accounts.json", "accounts", "api.v2010.account"),
        (f"{ACCOUNT}/Messages.json", "messages", "api.v2010.account.message"),
        (f"{ACCOUNT}/Calls.json", "calls", "api.v2010.account.call"),
        (f"{ACCOUNT}/Recordings.json", "recordings", "api.v2010.account.recording"),
        (
            f"{ACCOUNT}/IncomingPhoneNumbers.json",
            "incoming_phone_numbers",
            "api.v2010.account.incoming_phone_number",
        ),
        (f"{ACCOUNT}/Usage/Records.json", "usage_records", "api.v2010.account.usage.usage_record"),
        (
            f"{ACCOUNT}/Usage/Records/Daily.json",
            "usage_records",
            "api.v2010.account.usage.usage_record.usage_record_daily",
        ),
    ],
)
def test_twilio(own: Sandbox, own_http: Http, now: datetime, path: str, key: str, schema: str) -> None:
    own.now = now
    answer = own_http.twilio(path.replace("{AccountSid}", own_http.account), PageSize=1000)
    validate(TWILIO, path, answer)
    records = answer.json()[key]
    assert records
    # What the specification does not name, the API does not send.
    assert {field for record in records for field in unknown_fields(TWILIO, schema, record)} == set()


@pytest.mark.parametrize("list_name", ["Messages", "Calls", "Recordings", "IncomingPhoneNumbers"])
def test_twilio_single_resources(http: Http, list_name: str) -> None:
    listed = http.twilio(f"{list_name}.json", PageSize=1).json()
    records = next(value for value in listed.values() if isinstance(value, list))
    validate(TWILIO, f"{ACCOUNT}/{list_name}/{{Sid}}.json", http.twilio(f"{list_name}/{records[0]['sid']}.json"))


@pytest.mark.parametrize("group_by", [[], ["project_id"], ["project_id", "api_key_id"]])
@pytest.mark.parametrize("path", [COMPLETIONS, EMBEDDINGS, COSTS])
def test_openai(http: Http, path: str, group_by: list[str]) -> None:
    answer = http.openai(path, start_time=START, limit=30, **{"group_by[]": group_by})
    validate(OPENAI, path, answer)
    schema = {
        COMPLETIONS: "UsageCompletionsResult",
        EMBEDDINGS: "UsageEmbeddingsResult",
        COSTS: "CostsResult",
    }[path]
    for bucket in answer.json()["data"]:
        for result in bucket["results"]:
            # The buckets' schema is a choice of all results; this is the one it must be.
            wanted = {"$ref": f"#/components/schemas/{schema}", "components": document(OPENAI)["components"]}
            Draft202012Validator(wanted).validate(result)
            assert not unknown_fields(OPENAI, schema, result)


@pytest.mark.parametrize("endpoint", COUNTED, ids=[endpoint.path for endpoint in COUNTED])
def test_openais_other_endpoints(http: Http, endpoint: Endpoint) -> None:
    for group_by in ([], ["project_id"]):
        answer = http.openai(endpoint.path, start_time=START, limit=30, **{"group_by[]": group_by})
        validate(OPENAI, endpoint.path, answer)
        schema = next(
            name
            for name, wanted in document(OPENAI)["components"]["schemas"].items()
            if name.endswith("Result") and wanted["properties"].get("object", {}).get("enum") == [endpoint.object]
        )
        results = [result for bucket in answer.json()["data"] for result in bucket["results"]]
        assert results
        for result in results:
            wanted = {"$ref": f"#/components/schemas/{schema}", "components": document(OPENAI)["components"]}
            Draft202012Validator(wanted).validate(result)
            assert not unknown_fields(OPENAI, schema, result)
    grouping = {"group_by[]": list(endpoint.dimensions)}
    validate(OPENAI, endpoint.path, http.openai(endpoint.path, start_time=START, limit=30, **grouping))


def test_openai_projects_and_errors(own: Sandbox, own_http: Http) -> None:
    validate(OPENAI, "/organization/projects", own_http.openai("/organization/projects"))
    components = document(OPENAI)["components"]
    error = Draft202012Validator({"$ref": "#/components/schemas/ErrorResponse", "components": components})
    error.validate(own_http.openai(COSTS).json())
    own.faults.add("/organization/projects", status=429)
    error.validate(own_http.openai("/organization/projects").json())


def test_sendgrid(http: Http) -> None:
    span = {"start_date": "2026-10-05", "end_date": (SETTLED + timedelta(days=1)).date().isoformat()}
    validate(SENDGRID, "/v3/stats", http.sendgrid("/v3/stats", **span))
    subusers = http.sendgrid("/v3/subusers")
    validate(SENDGRID, "/v3/subusers", subusers)
    names = [subuser["username"] for subuser in subusers.json()]
    validate(SENDGRID, "/v3/subusers/stats", http.sendgrid("/v3/subusers/stats", **span, subusers=names))
    validate(SENDGRID, "/v3/categories/stats", http.sendgrid("/v3/categories/stats", **span, categories=["news", "x"]))
    unauthorised = requests.get(f"{http.sandbox.url}/v3/subusers", timeout=10)
    validate(SENDGRID, "/v3/subusers", unauthorised, "401")


@pytest.mark.parametrize(
    "expand", [{}, {"type": "charge", "expand[]": "data.source"}], ids=["plain", "expanded charges"]
)
def test_stripe(http: Http, expand: dict[str, str]) -> None:
    answer = ask_stripe(http, limit=100, **expand)
    validate(STRIPE, "/v1/balance_transactions", answer)
    transactions = answer.json()["data"]
    assert transactions
    for one in transactions:
        assert unknown_fields(STRIPE, "balance_transaction", one) == set()
        if expand:
            assert unknown_fields(STRIPE, "charge", one["source"]) == set()
    validate(STRIPE, "/v1/balance_transactions/{id}", ask_stripe(http, f"{STRIPE_PATH}/{transactions[0]['id']}"))


def test_stripe_has_the_fields_of_its_fixtures(http: Http) -> None:
    fixtures = json.loads((SPECS / "stripe_fixtures.json").read_text())["resources"]
    (one,) = ask_stripe(http, limit=1).json()["data"]
    # `balance_type` is newer than the version that the sandbox answers as.
    assert set(fixtures["balance_transaction"]) - {"balance_type"} == set(one)
    (account,) = ask_stripe(http, "/v1/accounts").json()["data"]
    assert set(account) <= set(fixtures["account"])


def test_stripes_errors(own: Sandbox, own_http: Http) -> None:
    own.faults.add("/v1/balance_transactions", status=500)
    for answer in (ask_stripe(own_http), ask_stripe(own_http, limit=0), ask_stripe(own_http, account="acct_unknown")):
        schema = document(STRIPE)["paths"]["/v1/balance_transactions"]["get"]["responses"]["default"]
        validate_value(STRIPE, schema["content"]["application/json"]["schema"], answer.json())
        assert answer.status_code >= 400
