"""OpenAI's organization endpoints: buckets, grouping, limits, cursors, refusals; and the official SDK."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import openai
import pytest
import requests

from sandbox import Dataset, Sandbox, running

from .conftest import FIRST, LAST, SETTLED, Http

COMPLETIONS, EMBEDDINGS, COSTS = (
    "/organization/usage/completions",
    "/organization/usage/embeddings",
    "/organization/costs",
)
DAY = 86_400


def at(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


START, END = at(FIRST), at(LAST + timedelta(days=1))


def buckets(http: Http, path: str, **params: Any) -> Iterator[dict[str, Any]]:
    page: dict[str, str] = {}
    while True:
        answer = http.openai(path, **params, **page)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        yield from body["data"]
        if not body["has_more"]:
            assert body["next_page"] is None
            return
        page = {"page": body["next_page"]}


@pytest.mark.parametrize(
    ("key", "status", "code"),
    [("", 401, "invalid_api_key"), ("sk-admin-wrong", 401, "invalid_api_key"), ("sk-proj-x", 403, None)],
)
def test_wrong_keys(shared: Sandbox, key: str, status: int, code: str | None) -> None:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    answer = requests.get(f"{shared.url}/v1{COSTS}", headers=headers, timeout=10)
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == code
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_unknown_path_is_openais_404(http: Http) -> None:
    answer = http.openai("/organization/nonsense")
    assert answer.status_code == 404
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(("path", "largest"), [(COMPLETIONS, 31), (EMBEDDINGS, 31), (COSTS, 180)])
def test_limit_is_refused_not_clamped(http: Http, path: str, largest: int) -> None:
    assert len(http.openai(path, start_time=START).json()["data"]) == 7
    assert http.openai(path, start_time=START, limit=largest).status_code == 200
    for limit in (largest + 1, 0, "x"):
        answer = http.openai(path, start_time=START, limit=limit)
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == "limit"


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({}, "start_time"),
        ({"start_time": START, "end_time": START}, "end_time"),
        ({"start_time": START, "bucket_width": "1h"}, "bucket_width"),
        ({"start_time": START, "group_by[]": "line_item"}, "group_by"),
        ({"start_time": START, "page": "nonsense"}, "page"),
    ],
)
def test_bad_parameters_are_named(http: Http, params: dict[str, Any], param: str) -> None:
    answer = http.openai(COMPLETIONS, **params)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


def test_costs_by_key_are_refused_for_the_time_before_keys_had_costs(http: Http) -> None:
    early = {"start_time": 1_764_979_200 - DAY, "limit": 1}
    assert http.openai(COSTS, **early, **{"group_by[]": "api_key_id"}).status_code == 400
    assert http.openai(COSTS, **early, **{"group_by[]": "project_id"}).status_code == 200


@pytest.mark.parametrize("form", ["group_by[]", "group_by"])
def test_grouping_sums_the_rest_and_nulls_it(http: Http, form: str) -> None:
    dataset = http.sandbox.dataset
    grouped = list(
        buckets(http, COMPLETIONS, start_time=START, end_time=END, limit=10, **{form: ["project_id", "model"]})
    )
    assert [b["start_time"] for b in grouped] == list(range(START, END, DAY))
    assert all(b["end_time"] == b["start_time"] + DAY for b in grouped)
    results = [r for b in grouped for r in b["results"]]
    assert all(r["project_id"] and r["model"] for r in results)
    assert {(r["user_id"], r["api_key_id"], r["batch"], r["service_tier"]) for r in results} == {(None,) * 4}
    whole = [b["results"] for b in buckets(http, COMPLETIONS, start_time=START, end_time=END, limit=31)]
    assert all(len(r) == 1 and r[0]["model"] is None for r in whole)
    for field in ("input_tokens", "input_cached_tokens", "output_tokens", "num_model_requests"):
        expected = sum(record[field] for record in dataset.openai_usage_completions)
        assert sum(r[field] for r in results) == sum(r[0][field] for r in whole) == expected


def test_filters(http: Http) -> None:
    project = http.sandbox.dataset.openai_usage_completions[0]["project_id"]
    params = {"start_time": START, "end_time": END, "limit": 31, "group_by[]": ["project_id", "model"]}
    results = [
        r
        for b in buckets(
            http,
            COMPLETIONS,
            **params,
            **{"project_ids[]": project, "models[]": "gpt-5-mini", "batch": "false"},
        )
        for r in b["results"]
    ]
    assert {(r["project_id"], r["model"]) for r in results} == {(project, "gpt-5-mini")}
    assert not [r for b in buckets(http, COMPLETIONS, **params, batch="true") for r in b["results"]]


def test_costs_by_project_and_line_item(http: Http) -> None:
    params = {"start_time": START, "end_time": END, "limit": 180}
    items = [
        r for b in buckets(http, COSTS, **params, **{"group_by[]": ["project_id", "line_item"]}) for r in b["results"]
    ]
    assert all(r["line_item"] and r["project_id"] and r["api_key_id"] is None for r in items)
    assert all(r["quantity"] is not None and r["amount"]["currency"] == "usd" for r in items)
    whole = [r for b in buckets(http, COSTS, **params) for r in b["results"]]
    assert all(r["line_item"] is None and r["quantity"] is None for r in whole)
    assert sum(r["amount"]["value"] for r in items) == pytest.approx(sum(r["amount"]["value"] for r in whole))
    assert len(whole) == (LAST - FIRST).days + 1


def test_exact_and_textual_amounts_are_passed_on_untouched() -> None:
    exact, text = '{"value":0.012345678901234567890,"currency":"usd"}', "0.8958740000000000"
    cost = {"date": FIRST.isoformat(), "object": "organization.costs.result", "line_item": "a, input"}
    dataset = Dataset(openai_costs=[{**cost, "amount": {"value": text, "currency": "usd"}, "project_id": "b"}])
    with running(dataset) as sandbox:
        body = b'{"date":"%s","project_id":"a","line_item":"a, input","amount":%s}'
        url = f"{sandbox.url}/_sandbox/records/openai_costs"
        requests.put(url, data=body % (FIRST.isoformat().encode(), exact.encode()), timeout=10)
        answer = Http(sandbox).openai(COSTS, start_time=START, limit=1, group_by="project_id")
    assert exact in answer.text
    assert f'"value":"{text}"' in answer.text


def test_empty_days_have_empty_buckets_and_missing_ones_none(own: Sandbox, own_http: Http) -> None:
    before = at(FIRST) - 3 * DAY
    answer = own_http.openai(COSTS, start_time=before, end_time=START).json()
    assert [b["results"] for b in answer["data"]] == [[], [], []]
    own.set_missing({"openai_costs": [(FIRST + timedelta(days=1)).isoformat()]})
    starts = [b["start_time"] for b in buckets(own_http, COSTS, start_time=START, end_time=START + 3 * DAY)]
    assert starts == [START, START + 2 * DAY]
    usage = buckets(own_http, COMPLETIONS, start_time=START, end_time=START + 3 * DAY)
    assert len(list(usage)) == 3


def test_no_bucket_begins_after_now(own: Sandbox, own_http: Http) -> None:
    own.now = datetime(2026, 10, 2, 12, tzinfo=UTC)
    found = list(buckets(own_http, COMPLETIONS, start_time=at(date(2026, 9, 30)), limit=31))
    assert [b["start_time"] for b in found] == [
        at(date(2026, 9, 30)),
        at(date(2026, 10, 1)),
        at(date(2026, 10, 2)),
    ]


def test_projects(http: Http) -> None:
    first = http.openai("/organization/projects", limit=3).json()
    assert (len(first["data"]), first["has_more"]) == (3, True)
    rest = http.openai("/organization/projects", limit=100, after=first["last_id"]).json()
    assert rest["has_more"] is False
    ids = [p["id"] for p in [*first["data"], *rest["data"]]]
    assert ids == [p["id"] for p in http.sandbox.dataset.openai_projects]
    assert http.openai(f"/organization/projects/{ids[0]}").json() == first["data"][0]
    assert http.openai("/organization/projects/proj_x").status_code == 404
    assert http.openai("/organization/projects", after="proj_x").status_code == 400


def test_official_sdk(shared: Sandbox) -> None:
    environment = shared.environment()
    with openai.OpenAI(
        api_key="unused",
        admin_api_key=environment["OPENAI_ADMIN_KEY"],
        base_url=environment["OPENAI_BASE_URL"],
    ) as client:
        usage = client.admin.organization.usage
        groups: list[Any] = ["project_id", "model"]
        page = usage.completions(start_time=START, end_time=END, limit=31, group_by=groups)
        seen = len(page.data)
        while page.has_more:
            page = usage.completions(
                start_time=START, end_time=END, limit=31, group_by=groups, page=page.next_page or ""
            )
            seen += len(page.data)
        assert seen == (END - START) // DAY
        assert page.data[0].results[0].model  # type: ignore[union-attr]
        assert usage.embeddings(start_time=START, limit=2).data[1].results[0].input_tokens  # type: ignore[union-attr]
        costs = usage.costs(start_time=START, limit=180, group_by=["project_id", "line_item"])
        assert costs.data[0].results[0].amount.value > 0  # type: ignore[union-attr]
        assert len(list(client.admin.organization.projects.list(limit=2))) == 7
        with pytest.raises(openai.BadRequestError):
            usage.costs(start_time=START, limit=181)
        with pytest.raises(openai.AuthenticationError):
            client.with_options(admin_api_key="sk-admin-wrong").admin.organization.usage.costs(start_time=START)


def test_the_data_reaches_its_end(http: Http) -> None:
    assert SETTLED.timestamp() > END
    assert http.openai(COSTS, start_time=END - DAY, limit=1).json()["data"][0]["results"]
