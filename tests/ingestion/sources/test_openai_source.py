"""OpenAI: a bucket in the answer is an answer, also an empty one; a missing one is none; amounts are exact."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from ingestion.sources.openai.schemas import completions_table
from ingestion.windows import Window
from tests.ingestion.ingesting import DAY, LAST, WINDOW, Ingest

ONE_DAY = Window.of_days(DAY, DAY)
COMPLETIONS, COSTS = "/usage/completions", "/organization/costs"


def start(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def bucket(day: date, *results: object) -> dict[str, Any]:
    return {"object": "bucket", "start_time": start(day), "end_time": start(day) + 86400, "results": list(results)}


def page(*buckets: object, next_page: str | None = None) -> dict[str, Any]:
    return {"object": "page", "data": list(buckets), "has_more": next_page is not None, "next_page": next_page}


def usage(**values: object) -> dict[str, Any]:
    return {
        "object": "organization.usage.completions.result",
        "project_id": "p1",
        "api_key_id": "k1",
        "model": "m1",
        "input_tokens": 100,
        "input_cached_tokens": 40,
        "output_tokens": 7,
        "num_model_requests": 1,
        **values,
    }


def cost(value: object, **values: object) -> dict[str, Any]:
    amount = {"value": value, "currency": "USD"}
    return {
        "object": "organization.costs.result",
        "project_id": "p1",
        "line_item": "m1, input",
        "amount": amount,
        **values,
    }


def served(ingest: Ingest, match: str, body: object) -> Any:
    ingest.sandbox.faults.add(match, status=200, body=body)
    result = ingest.run("openai", ONE_DAY)
    ingest.sandbox.faults.clear()
    return result


@pytest.mark.usefixtures("by_dlt")
def test_usage_and_costs_sum_to_what_is_served(ingest: Ingest) -> None:
    result = ingest.run("openai")
    assert (result.status, result.error) == ("ok", None)
    data = ingest.sandbox.dataset
    assert ingest.query(
        "select sum(input_tokens), sum(cached_input_tokens), sum(output_tokens), sum(num_model_requests)"
        " from raw.openai_usage_completions"
    ) == [
        tuple(
            sum(record[field] for record in data.openai_usage_completions)
            for field in ("input_tokens", "input_cached_tokens", "output_tokens", "num_model_requests")
        )
    ]
    assert ingest.query("select sum(input_tokens) from raw.openai_usage_embeddings") == [
        (sum(record["input_tokens"] for record in data.openai_usage_embeddings),)
    ]
    total = sum(Decimal(str(record["amount"]["value"])) for record in data.openai_costs)
    assert ingest.query("select sum(amount) from raw.openai_costs") == [(total,)]


def test_the_grouping_and_the_window_are_asked_for_as_documented(ingest: Ingest) -> None:
    ingest.run("openai")
    (request_line,) = (request for request in ingest.sandbox.requests if COMPLETIONS in request)
    for part in ("bucket_width=1d", "limit=31", "group_by[]=project_id", "group_by[]=api_key_id", "group_by[]=model"):
        assert part in request_line
    assert "group_by[]=batch" in request_line
    assert "group_by[]=service_tier" in request_line
    assert f"start_time={start(WINDOW.start)}" in request_line
    assert f"end_time={start(WINDOW.end)}" in request_line
    (request_line,) = (request for request in ingest.sandbox.requests if COSTS in request)
    for part in ("limit=180", "group_by[]=project_id", "group_by[]=line_item"):
        assert part in request_line


@pytest.mark.usefixtures("by_dlt")
def test_amounts_are_exact(ingest: Ingest) -> None:
    cases: list[tuple[object, Decimal]] = [
        (Decimal("3.75e-8"), Decimal("0.0000000375")),
        ("0.8958740000000000", Decimal("0.895874")),
        (Decimal("0.06"), Decimal("0.06")),
        (0, Decimal(0)),
        (Decimal("-1.25"), Decimal("-1.25")),
    ]
    results = [cost(value, line_item=f"item {number}") for number, (value, _) in enumerate(cases)]
    assert served(ingest, COSTS, page(bucket(DAY, *results))).status == "ok"
    found = ingest.query("select amount, currency from raw.openai_costs order by line_item")
    assert found == [(wanted, "usd") for _, wanted in cases]


def test_nulls_are_empty_and_absent_measures_are_zero(ingest: Ingest) -> None:
    bare = {"object": "x", "input_tokens": 5, "project_id": None, "api_key_id": None, "model": None}
    assert served(ingest, COMPLETIONS, page(bucket(DAY, bare))).status == "ok"
    assert ingest.query(
        "select account_id, project_id, api_key_id, model, input_tokens, cached_input_tokens, output_tokens,"
        " num_model_requests from raw.openai_usage_completions"
    ) == [("default", "", "", "", 5, 0, 0, 0)]


def test_results_of_one_key_are_summed(ingest: Ingest) -> None:
    served(ingest, COMPLETIONS, page(bucket(DAY, usage(), usage(user_id="u2"), usage(model="m2"))))
    assert ingest.query(
        "select model, input_tokens, cached_input_tokens, output_tokens, num_model_requests"
        " from raw.openai_usage_completions order by 1"
    ) == [("m1", 200, 80, 14, 2), ("m2", 100, 40, 7, 1)]
    tail = Decimal("0.000000000000000001")
    served(ingest, COSTS, page(bucket(DAY, cost(Decimal("1.5"), quantity=2), cost(tail, quantity=None))))
    assert ingest.query("select amount, quantity from raw.openai_costs") == [(Decimal("1.5") + tail, 2)]


def test_what_is_written_to_the_cache_is_a_part_of_the_input_of_its_own(ingest: Ingest) -> None:
    terra = usage(model="gpt-5.6-terra", input_tokens=100_000, input_cached_tokens=0, input_cache_write_tokens=100_000)
    sol = usage(model="gpt-6-sol", input_tokens=2_600, input_cached_tokens=2_000, input_cache_write_tokens=400)
    assert served(ingest, COMPLETIONS, page(bucket(DAY, terra, sol, sol, usage()))).status == "ok"
    assert ingest.query(
        "select model, input_tokens, cached_input_tokens, cache_write_tokens from raw.openai_usage_completions order by 1"
    ) == [("gpt-5.6-terra", 100_000, 0, 100_000), ("gpt-6-sol", 5_200, 4_000, 800), ("m1", 100, 40, 0)]


@pytest.mark.parametrize(
    ("fields", "tier"),
    [
        ({"batch": False, "service_tier": "default"}, ""),
        ({"batch": None, "service_tier": None}, ""),
        ({"batch": False, "service_tier": "standard"}, ""),
        ({"batch": True, "service_tier": "default"}, "batch"),
        ({"batch": True, "service_tier": None}, "batch"),
        ({"batch": False, "service_tier": "flex"}, "flex"),
        ({"batch": False, "service_tier": "Priority"}, "priority"),
        ({"batch": False, "service_tier": "fast"}, "priority"),
        ({"batch": False, "service_tier": "scale"}, "scale"),
    ],
)
def test_a_tier_has_one_name(fields: dict[str, object], tier: str) -> None:
    table = completions_table([usage(**fields)], DAY)
    assert table["tier"].to_pylist() == [tier]


def test_two_tiers_of_a_model_are_two_rows(ingest: Ingest) -> None:
    results = (usage(), usage(batch=True), usage(service_tier="flex", input_tokens=300), usage(service_tier="default"))
    assert served(ingest, COMPLETIONS, page(bucket(DAY, *results))).status == "ok"
    assert ingest.query("select tier, input_tokens from raw.openai_usage_completions order by 1") == [
        ("", 200),
        ("batch", 100),
        ("flex", 300),
    ]


def test_an_empty_bucket_empties_its_day_and_a_missing_one_keeps_it(ingest: Ingest) -> None:
    ingest.run("openai")
    before = ingest.days("openai_usage_completions")
    rest = [day for day in WINDOW.days() if day != DAY]
    ingest.sandbox.set_missing({"openai_usage_completions": [DAY.isoformat()]})
    for record in list(ingest.sandbox.dataset.openai_usage_completions):
        if record["date"] in (DAY.isoformat(), LAST.isoformat()):
            ingest.sandbox.dataset.openai_usage_completions.remove(record)
    ingest.sandbox.put("openai_projects", *ingest.sandbox.dataset.openai_projects)  # has the sandbox look again
    result = ingest.run("openai")
    assert result.status == "failed"
    assert result.tables["openai_usage_completions"].unanswered == [DAY]
    assert ingest.days("openai_usage_completions") == {day: before[day] for day in (*rest[:-1], DAY)}


def test_pages_read_before_a_failure_count(ingest: Ingest) -> None:
    first, second, *others = WINDOW.days()
    ingest.sandbox.faults.add(COMPLETIONS, status=200, body=page(bucket(first, usage()), bucket(second), next_page="n"))
    ingest.sandbox.faults.add("page=n", status=500, count=None)
    result = ingest.run("openai")
    assert result.status == "failed"
    assert result.tables["openai_usage_completions"].unanswered == others
    assert ingest.days("openai_usage_completions") == {first: 1}


def test_a_bucket_on_two_pages_counts_once(ingest: Ingest) -> None:
    ingest.sandbox.faults.add(COMPLETIONS, status=200, body=page(bucket(DAY, usage()), next_page="n"))
    ingest.sandbox.faults.add("page=n", status=200, body=page(bucket(DAY, usage(input_tokens=300))))
    assert ingest.run("openai", ONE_DAY).status == "ok"
    assert ingest.query("select input_tokens from raw.openai_usage_completions") == [(300,)]


def test_a_malformed_result_is_set_aside_and_the_rest_loads(ingest: Ingest) -> None:
    cases: list[tuple[object, str]] = [
        (usage(input_tokens="many"), "input_tokens: not a whole number"),
        (usage(input_tokens=None), "input_tokens: missing"),
        (usage(output_tokens=-1), "output_tokens: negative"),
        (usage(input_cached_tokens=101), "input_cached_tokens: more than"),
        (usage(input_cached_tokens=0, input_cache_write_tokens=101), "input_cache_write_tokens: with"),
        (usage(model=5), "model: not text but int"),
        (None, "not an object"),
    ]
    outcome = served(ingest, COMPLETIONS, page(bucket(DAY, usage(model="good"), *(result for result, _ in cases))))
    assert (outcome.status, outcome.tables["openai_usage_completions"].rejected) == ("ok", len(cases))
    assert ingest.query("select model from raw.openai_usage_completions") == [("good",)]
    found = sorted(reason for (reason,) in ingest.query("select reason from raw.rejected_records"))
    wanted = sorted(reason for _, reason in cases)
    assert len(found) == len(wanted)
    assert [text for text, start in zip(found, wanted, strict=True) if not text.startswith(start)] == []


def test_a_malformed_amount_is_set_aside(ingest: Ingest) -> None:
    odd = (None, 5, {"value": 1}, {"currency": "usd"}, {"value": "x", "currency": "usd"})
    outcome = served(ingest, COSTS, page(bucket(DAY, *(cost(1, amount=amount) for amount in odd), cost(2))))
    assert (outcome.status, outcome.tables["openai_costs"].rejected) == ("ok", len(odd))
    assert ingest.query("select amount from raw.openai_costs") == [(Decimal(2),)]


@pytest.mark.parametrize(
    "odd",
    [
        None,
        "bucket",
        {},
        {"start_time": "x", "results": []},
        {"start_time": start(DAY)},
        bucket(DAY) | {"results": None},
    ],
)
def test_a_bucket_that_cannot_be_read_is_no_answer(ingest: Ingest, odd: object) -> None:
    outcome = served(ingest, COMPLETIONS, page(odd))
    assert outcome.status == "failed"
    assert outcome.tables["openai_usage_completions"].unanswered == [DAY]
    assert outcome.tables["openai_costs"].unanswered == []


@pytest.mark.parametrize("body", [[], {}, {"data": None}, None])
def test_an_answer_without_its_list_is_no_answer(ingest: Ingest, body: object) -> None:
    ingest.sandbox.faults.add(COMPLETIONS, status=200, body=body if body is not None else "null", count=None)
    outcome = ingest.run("openai", ONE_DAY)
    assert outcome.status == "failed"
    assert outcome.tables["openai_usage_completions"].unanswered == [DAY]


OTHERS = {
    "images": "images",
    "audio_speeches": "characters",
    "audio_transcriptions": "seconds",
    "moderations": "input_tokens",
    "vector_stores": "usage_bytes",
    "code_interpreter_sessions": "num_sessions",
    "file_search_calls": "num_requests",
    "web_search_calls": "num_requests",
}


@pytest.mark.usefixtures("by_dlt")
def test_the_other_endpoints_are_read_in_their_own_units(ingest: Ingest) -> None:
    for name, measure in OTHERS.items():
        record = {"date": DAY.isoformat(), "project_id": "p1", "api_key_id": "k1", "model": "m1", measure: 7}
        ingest.sandbox.put(
            f"openai_usage_{name}", {**record, "user_id": "u1"}, {**record, "user_id": "u2", "size": "s"}
        )
    assert ingest.run("openai").status == "ok"
    for name, measure in OTHERS.items():
        data = getattr(ingest.sandbox.dataset, f"openai_usage_{name}")
        assert ingest.query(f"select sum({measure})::bigint from raw.openai_usage_{name}") == [
            (sum(one[measure] for one in data),)
        ]
        (request_line,) = (request for request in ingest.sandbox.requests if f"/usage/{name}?" in request)
        by = "api_key_id" if name not in ("vector_stores", "code_interpreter_sessions") else "project_id"
        assert f"group_by[]={by}" in request_line
        [(keys,)] = ingest.query(f"select count(*) from raw.openai_usage_{name} where project_id = 'p1'")
        assert keys == 1


def test_an_endpoint_that_is_not_there_is_no_failure_and_one_that_fails_is(ingest: Ingest) -> None:
    ingest.sandbox.faults.add("/usage/vector_stores", status=404, count=None)
    result = ingest.run("openai")
    assert (result.status, result.tables["openai_usage_vector_stores"].answered) == ("ok", 0)
    ingest.sandbox.faults.add("/usage/images", status=503, count=None)
    result = ingest.run("openai")
    assert (result.status, len(result.tables["openai_usage_images"].unanswered)) == ("failed", 5)
    assert result.tables["openai_usage_web_search_calls"].unanswered == []
    ingest.sandbox.faults.add(COMPLETIONS, status=404, count=None)
    assert len(ingest.run("openai").tables["openai_usage_completions"].unanswered) == 5
