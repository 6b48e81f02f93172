"""Restatements of complete days, closed months that stay, the adjustments that come after, and the chain that proves them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest

from costs import price_changes
from costs.alerts import evaluate
from costs.closing import CloseRefused, Verification, close_month, verify_month
from costs.closing.relations import RAW_TABLES, covered_relations
from ingestion.directory.parse import Directory, Resource, TenantRow
from ingestion.directory.store import store
from tests.dbt.conftest import ALL, AS_OF, Project, window
from tests.dbt.price_book import PriceBook, build_models

START = date(2026, 2, 1)
FEBRUARY = ("2026-02-01", "2026-02-28")
OUTBOUND = "twilio_sms,outbound,,,unit,0.0083,"


@pytest.fixture
def prices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PriceBook:
    return PriceBook(tmp_path, monkeypatch)


def close(
    project: Project,
    month: str = "2026-02",
    *,
    as_of: datetime = AS_OF,
    start: date = START,
    is_proven: bool = True,
    without: Sequence[str] = (),
    configured: Sequence[str] = (),
    accept_provisional: bool = False,
) -> str:
    if is_proven:
        project.trust()
    return close_month(
        project.url,
        month,
        as_of=as_of,
        start_date=start,
        lookback_days=3,
        closed_by="the accountant",
        configured=configured,
        without=without,
        accept_provisional=accept_provisional,
    ).root


def build(project: Project, first: str, last: str, *, as_of: datetime = AS_OF) -> None:
    """Build the marts of these days, both included, without data tests."""
    build_models(window(first, last), as_of=as_of)


def verify(project: Project, month: str = "2026-02") -> Verification:
    return verify_month(project.url, month)


@contextmanager
def undone(project: Project, statement: str) -> Iterator[None]:
    """Run a statement that changes one table, and put the table back afterwards."""
    found = re.match(r"(?:update|delete from|insert into) (\S+) ", statement)
    assert found is not None
    table = found[1]
    project.execute(f"create table public.kept as table {table}")
    try:
        project.execute(statement)
        yield
    finally:
        with psycopg.connect(project.url) as connection:
            # Foreign keys must not see that the rows are away for a moment.
            connection.execute("set session_replication_role = replica")
            connection.execute(f"delete from {table}".encode())
            connection.execute(f"insert into {table} select * from public.kept".encode())
            connection.execute("drop table public.kept")


def closed_marts(project: Project) -> dict[str, str]:
    """Return every mart that a close covers, and the condition of February's rows: what is added to the marts is asked about, too."""
    with psycopg.connect(project.url) as connection:
        relations = [relation for relation in covered_relations(connection) if relation.kind == "mart"]
    return {
        relation.name.removeprefix("marts."): "month = '2026-02'"
        if relation.period_column == "month"
        else "date between '2026-02-01' and '2026-02-28'"
        for relation in relations
    }


def frozen(project: Project) -> dict[str, list[dict[str, object]]]:
    """Return February's rows of these marts, and of the view of its charges, which stand as they do."""
    charges = {"focus_cost_and_usage": "date < '2026-03-01'"}
    return {name: project.mart(name, where) for name, where in (closed_marts(project) | charges).items()}


def cost(project: Project, where: str) -> Decimal:
    ((found,),) = project.execute(f"select coalesce(sum(estimated_cost_usd), 0) from marts.usage_daily where {where}")
    return Decimal(found)


def ingested(project: Project, account: str, *days: str, load_id: str = "load-2", is_recorded: bool = True) -> None:
    """Note what changed in the messages of an account's days, as an ingest does in the transaction that replaces them."""
    project.execute(
        "select ops.note_record_changes('twilio_messages', array_fill(%s::text, array[cardinality(%s::date[])]), %s::date[], '{}', '{}', %s)",
        account,
        list(days),
        list(days),
        load_id,
    )
    if is_recorded:
        project.ingest(load_id, "twilio", min(days), max(days))


def restatements(project: Project) -> list[tuple[object, ...]]:
    return project.execute(
        "select tenant_id, date::text, channel, trim_scale(old_cost_usd), trim_scale(new_cost_usd), reason"
        " from ops.cost_restatements order by id"
    )


def adjustments(project: Project) -> list[tuple[object, ...]]:
    return project.execute(
        "select tenant_id, date::text, channel, trim_scale(cost_usd), trim_scale(unit_count), booked_month, booked_on::text, reason"
        " from ops.cost_adjustments order by id"
    )


# --- restatements ----------------------------------------------------------------------------------------------------


def test_a_rebuild_of_the_same_data_restates_nothing(built: Project) -> None:
    before = built.marts()
    build(built, *ALL)
    build(built, "2026-03-01", "2026-03-02")
    assert built.marts() == before
    assert restatements(built) == adjustments(built) == []
    ((books, days, incomplete),) = built.execute(
        "select (select count(*) from ops.price_books), count(*), count(*) filter (where completed_at is null) from ops.built_days"
    )
    assert (books, days, incomplete) == (1, 48, 1)  # the as-of day is not over


def test_a_changed_price_is_found_rebuilt_and_written_down(built: Project, prices: PriceBook) -> None:
    assert price_changes.affected_days(built.url, price_changes.seed_rows()) == []
    prices.replace(f"{OUTBOUND}1,2024-01-01,,", f"{OUTBOUND}1,2024-01-01,2026-03-01,")
    with prices.path.open("a") as file:
        file.write("twilio_sms,outbound,,,unit,0.0090,1,2026-03-01,,a dearer March\n")
        file.write("openai,chat_completion,nobody-uses-it,,input,1,1,2024-01-01,,new\n")
    affected = price_changes.affected_days(built.url, price_changes.seed_rows())
    # Only days on which an outbound message was sent; nobody uses the new model.
    assert [day.isoformat() for day in affected] == ["2026-03-01", "2026-03-02", "2026-03-18"]

    build(built, "2026-03-01", "2026-03-02")

    found = restatements(built)
    assert [(row[0], row[1], row[2], row[5]) for row in found] == [
        (tenant, day, "sms", "price") for day in ("2026-03-01", "2026-03-02") for tenant in ("a", "b", "unattributed")
    ]
    assert {(row[3], row[4]) for row in found} == {(Decimal("0.0249"), Decimal("0.027"))}
    ((old, new, when),) = built.execute(
        "select distinct old_price_version, new_price_version, recorded_at is not null from ops.cost_restatements"
    )
    assert old != new == price_changes.version_of(price_changes.seed_rows())
    assert when is True
    assert price_changes.affected_days(built.url, price_changes.seed_rows()) == [date(2026, 3, 18)]


def test_reasons(built: Project) -> None:
    built.message("SMlate", "2026-03-01 10:00:00")
    build(built, "2026-03-01", "2026-03-01")
    built.execute("update raw.tenant_resources set tenant_id = 'b' where resource_id = 'sub_a'")
    build(built, "2026-03-02", "2026-03-02")
    found = {(row[0], row[1], row[2]): row[5] for row in restatements(built)}
    assert found == {
        ("a", "2026-03-01", "sms"): "usage",
        ("a", "2026-03-02", "email"): "attribution",
        ("b", "2026-03-02", "email"): "attribution",
    }


def test_today_is_not_restated_until_it_is_complete(project: Project) -> None:
    today = AS_OF.strftime("%Y-%m-%d")
    project.message("SM1", f"{today} 09:00:00")
    build(project, today, today)
    project.message("SM2", f"{today} 10:00:00")
    build(project, today, today)
    tomorrow = datetime(2026, 3, 21, 12, tzinfo=UTC)
    project.message("SM3", f"{today} 11:00:00")
    build(project, today, today, as_of=tomorrow)
    assert restatements(project) == []
    project.message("SM4", f"{today} 12:00:00")
    build(project, today, today, as_of=tomorrow)
    assert [(row[3], row[4]) for row in restatements(project)] == [(Decimal("0.0249"), Decimal("0.0332"))]


def test_an_unpriced_cost_stays_unknown_in_the_ledger_until_a_price_comes(built: Project, prices: PriceBook) -> None:
    day = "date = '2026-03-01' and tenant_id = 'a' and channel = 'ai'"
    before = cost(built, day)
    with prices.path.open("a") as file:
        file.write("openai,chat_completion,house-model,,input,1,1000000,2024-01-01,,\n")
        file.write("openai,chat_completion,house-model,,output,2,1000000,2024-01-01,,\n")
    build(built, "2026-03-01", "2026-03-01")
    rows = built.execute(
        "select old_cost_usd, new_cost_usd, trim_scale(old_unpriced_unit_count), trim_scale(new_unpriced_unit_count), reason"
        " from ops.cost_restatements where tenant_id = 'a'"
    )
    assert rows == [(before, cost(built, day), Decimal(1008), Decimal(0), "price")]


# --- closing ---------------------------------------------------------------------------------------------------------


def test_a_closed_month_keeps_its_figures_and_the_difference_is_booked(built: Project, prices: PriceBook) -> None:
    close(built)
    before, march = frozen(built), cost(built, "date = '2026-03-01' and channel = 'sms'")
    assert all(before.values())

    # A correction, a message that vanished, another owner, a tenant who came later, and other prices.
    built.message("SMlate", "2026-02-28 10:00:00", num_segments=2)
    built.execute("delete from raw.twilio_messages where sid = 'SM2026-02-27b'")
    built.execute("update raw.tenant_resources set tenant_id = 'c' where resource_id = 'sub_a'")
    built.insert(
        "tenants",
        [{"tenant_id": "c", "name": "Late", "plan": "pro", "status": "active", "usage_hard_stop_enabled": False}],
    )
    built.build_and_test(*ALL)  # with its data tests: they know of closed months
    assert frozen(built) == before
    assert adjustments(built) == [
        ("a", "2026-02-27", "email", Decimal("-0.0099"), Decimal(-11), "2026-03", "2026-03-20", "attribution"),
        ("b", "2026-02-27", "sms", Decimal("-0.0249"), Decimal(-3), "2026-03", "2026-03-20", "usage"),
        ("c", "2026-02-27", "email", Decimal("0.0099"), Decimal(11), "2026-03", "2026-03-20", "attribution"),
        ("a", "2026-02-28", "email", Decimal("-0.0099"), Decimal(-11), "2026-03", "2026-03-20", "attribution"),
        ("a", "2026-02-28", "sms", Decimal("0.0166"), Decimal(2), "2026-03", "2026-03-20", "usage"),
        ("c", "2026-02-28", "email", Decimal("0.0099"), Decimal(11), "2026-03", "2026-03-20", "attribution"),
    ]
    assert all(row[1] >= "2026-03-01" for row in restatements(built))  # type: ignore[operator]

    prices.replace(OUTBOUND, "twilio_sms,outbound,,,unit,0.0100,")
    build(built, *ALL)
    assert frozen(built) == before
    assert cost(built, "date = '2026-03-01' and channel = 'sms'") > march
    booked = adjustments(built)
    assert {row[7] for row in booked[6:]} == {"price"}
    assert all(row[2] == "sms" and row[4] == 0 for row in booked[6:])
    # Again, and in parts: what is booked is booked.
    build(built, *ALL)
    build(built, "2026-02-28", "2026-02-28")
    assert adjustments(built) == booked

    # Totals: closed + adjustments = what February would cost if it were built today.
    for name, where in closed_marts(built).items():
        built.execute(f"delete from marts.{name} where {where}")
    closed = sum((Decimal(str(row["total_cost_cents"])) for row in before["tenant_monthly"]), Decimal(0))
    ((total,),) = built.execute("select sum(cost_usd) * 100 from ops.cost_adjustments")
    ((shown,),) = built.execute("select sum(adjustment_cents) from marts.tenant_monthly where month = '2026-03'")
    assert shown == total
    built.execute("delete from ops.cost_adjustments")
    for table in ("closed_record_changes", "close_items", "closed_relations", "closed_names", "closed_months"):
        built.execute(f"delete from ops.{table}")
    build(built, *ALL)
    assert closed + total == cost(built, "date < '2026-03-01'") * 100
    ((late,),) = built.execute("select count(*) from marts.tenant_monthly where tenant_id = 'c' and month = '2026-03'")
    assert late == 1


def test_an_adjustment_counts_what_its_channel_counts(built: Project, prices: PriceBook) -> None:
    """Late images are a cost of ai, and none of its tokens."""
    with prices.path.open("a") as file:
        file.write("openai,image,,,unit,0.04,1,2024-01-01,,\n")
    build(built, *ALL)
    close(built)
    built.execute(
        "insert into raw.openai_usage_images (account_id, usage_date, project_id, model, images, num_model_requests, load_id)"
        " values ('openai', '2026-02-28', 'proj_a', 'gpt-image-1', 40, 1, 'load-2')"
    )
    build(built, *FEBRUARY)
    assert ("a", "2026-02-28", "ai", Decimal("1.6"), Decimal(0), "2026-03", "2026-03-20", "usage") in adjustments(built)


def test_usage_without_a_price_in_a_closed_month_is_told_until_its_adjustment(
    built: Project, prices: PriceBook
) -> None:
    def unpriced() -> dict[tuple[str, str | None], str]:
        with psycopg.connect(built.url, autocommit=True) as connection:
            found = evaluate(connection, AS_OF.date())
        return {(c.tenant_id, c.channel): c.message for c in found or [] if c.alert_type == "unpriced"}

    close(built)
    assert "the first on 2026-02-27" in unpriced()["a", "ai"]
    with prices.path.open("a") as file:
        file.write("openai,chat_completion,house-model,,input,1,1000000,2024-01-01,,\n")
        file.write("openai,chat_completion,house-model,,output,2,1000000,2024-01-01,,\n")
    build(built, *ALL)
    assert unpriced() == {}  # February's marts still say that there was no price; its adjustments say what it cost

    built.execute(
        "update raw.openai_usage_completions set model = 'later-model' where model like 'gpt%' and usage_date = '2026-02-28'"
    )
    built.execute(
        "insert into raw.openai_usage_images (account_id, usage_date, project_id, model, images, num_model_requests, load_id)"
        " values ('openai', '2026-02-28', 'proj_a', 'gpt-image-1', 40, 1, 'load-2')"
    )
    build(built, *FEBRUARY)
    assert unpriced()["a", "ai"].endswith("(usage of a closed month), the first on 2026-02-28")
    # What is not alike is told beside each other: the images are no tokens.
    assert " tokens and 40 images have no known price" in unpriced()["a", "ai"]
    [(tokens, kinds)] = built.execute(
        "select trim_scale(unpriced_unit_count), unpriced_units from ops.cost_adjustments"
        " where tenant_id = 'a' and channel = 'ai' and date = '2026-02-28' order by id desc limit 1"
    )
    assert kinds == {"tokens": tokens, "images": 40}


def test_the_worked_example_of_the_docs(project: Project, prices: PriceBook) -> None:
    november = datetime(2026, 11, 9, 12, tzinfo=UTC)
    october = ("2026-10-01", "2026-10-31")
    project.message("SM1", "2026-10-31 12:00:00", num_segments=3)
    build(project, *october, as_of=november)
    close(project, "2026-10", as_of=november, start=date(2026, 10, 1))
    project.execute("update raw.twilio_messages set num_segments = 5")
    build(project, "2026-10-31", "2026-10-31", as_of=november)
    prices.replace(OUTBOUND, "twilio_sms,outbound,,,unit,0.0100,")
    build(project, "2026-10-31", "2026-10-31", as_of=november)
    assert cost(project, "date = '2026-10-31'") == Decimal("0.0249")
    assert [row[3:] for row in adjustments(project)] == [
        (Decimal("0.0166"), Decimal(2), "2026-11", "2026-11-09", "usage"),
        (Decimal("0.0085"), Decimal(0), "2026-11", "2026-11-09", "price"),
    ]
    example = (Path(__file__).parents[2] / "docs" / "closing.md").read_text()
    assert all(figure in example for figure in ("0.0249", "0.0166", "0.0085"))


def test_an_adjustment_of_a_month_is_part_of_it_when_it_is_closed_in_turn(built: Project) -> None:
    close(built)
    built.message("SMlate", "2026-02-28 10:00:00")
    build(built, *ALL)
    in_april = datetime(2026, 4, 20, 12, tzinfo=UTC)
    build(built, "2026-03-01", "2026-04-20", as_of=in_april)
    close(built, "2026-03", as_of=in_april)
    march = built.mart("tenant_monthly", "tenant_id = 'a' and month = '2026-03'")
    assert [row["adjustment_cents"] for row in march] == [0.83]
    # What is found now is booked in April, also by a build that believes it is still March.
    built.message("SMlater", "2026-02-28 11:00:00")
    build(built, "2026-02-28", "2026-02-28")
    assert [(row[5], row[3]) for row in adjustments(built)] == [
        ("2026-03", Decimal("0.0083")),
        ("2026-04", Decimal("0.0083")),
    ]
    assert built.mart("tenant_monthly", "tenant_id = 'a' and month = '2026-03'") == march
    assert verify(built, "2026-03").findings == []
    # Nothing has said yet where these messages come from.
    assert [line.split(":")[-1] for line in verify(built).findings] == [" not there when the month was closed"] * 2
    ingested(built, "ACa", "2026-02-28")
    assert verify(built).findings == []
    assert verify(built).changes == ["raw.twilio_messages: 2 records changed by ingest load-2"]


# Days that a provider was read for, and built as final since.
READ = (
    "insert into ops.source_days select '{}', day::date, now(), now(), '2026-03-20'"
    " from generate_series('{}'::timestamp, '{}'::timestamp, '1 day') as day"
)


@dataclass(frozen=True)
class Refusal:
    why: str
    arrange: str = "select 1"
    as_of: datetime = AS_OF
    month: str = "2026-02"


@pytest.mark.parametrize(
    "case",
    [
        Refusal("2026-03 is not over: it can be closed from 2026-04-04 on", month="2026-03"),
        Refusal(
            "2026-02 is not final: .* until 2026-03-03; close it from 2026-03-04 on",
            as_of=datetime(2026, 3, 3, 12, tzinfo=UTC),
        ),
        Refusal("2026-01 cannot be closed: METERING_START_DATE is 2026-02-01", month="2026-01"),
        Refusal("2026-2 is not a month: write 2026-10", month="2026-2"),
        Refusal(
            "2026-02-03, 2026-02-04 are not built; run `metering rebuild --from 2026-02-03 --to 2026-02-04`",
            "delete from ops.built_days where usage_date between '2026-02-03' and '2026-02-04'",
        ),
        Refusal(
            "2026-02-07 is not read and built since they became final",
            f"{READ.format('twilio', '2026-02-01', '2026-03-20')};"
            " update ops.source_days set built_at = null where usage_date = '2026-02-07'",
        ),
        # Built while the clock was a day ahead: not as old as it seemed.
        Refusal(
            "2026-02-08 is not read and built since they became final",
            f"{READ.format('twilio', '2026-02-01', '2026-03-20')};"
            " update ops.source_days set built_as_of = '2026-03-21' where usage_date = '2026-02-08'",
        ),
        Refusal(
            "2026-02-07 is not built since events, or records of theirs, came for them; .* --only build",
            "insert into ops.touched_days (usage_date, load_id) values ('2026-02-07', 'flush')",
        ),
        Refusal("2026-02-28 is not final", "update marts.usage_summary set is_final = false where date = '2026-02-28'"),
        Refusal(
            "2026-02-28 hold pending usage without a provider's record; .* --accept-provisional",
            "update marts.usage_summary set is_final = false, provisional_unit_count = 1 where date = '2026-02-28'",
        ),
        Refusal(
            "2026-02-20, 2026-02-21 are half built: the last build of its days failed; .* --only build",
            "insert into ops.builds (build_id, window_start, window_end, as_of, started_at, finished_at, status) values"
            " ('bad', '2026-02-20', '2026-02-22', '2026-03-20', clock_timestamp(), clock_timestamp(), 'failed'),"
            " ('of other days', '2026-02-22', '2026-03-01', '2026-03-20', clock_timestamp(), clock_timestamp(), 'ok')",
        ),
        Refusal(
            "2026-02-28 is built by another version of the code than today's; .* --only build",
            "update ops.built_days set code_version = 'older' where usage_date = '2026-02-28'",
        ),
        Refusal(
            "2026-02-28 is built by another version",
            "update ops.built_days set code_version = null, price_version = null where usage_date = '2026-02-28'",
        ),
        Refusal(
            "sendgrid was never read for 2026-02-01, .* and 22 more days; run `metering rebuild --from 2026-02-01 --to 2026-02-27`,"
            " or close it with `--without sendgrid`",
            f"{READ.format('twilio', '2026-02-01', '2026-03-20')}; {READ.format('sendgrid', '2026-02-28', '2026-03-20')}",
        ),
    ],
    ids=lambda case: case.why[:30],
)
def test_a_month_that_is_not_ready_is_refused_in_one_line(built: Project, case: Refusal) -> None:
    built.execute(case.arrange)
    with pytest.raises(CloseRefused, match=case.why) as refused:
        close(built, case.month, as_of=case.as_of)
    assert "\n" not in str(refused.value)
    assert built.execute("select count(*) from ops.closed_months") == [(0,)]


def test_a_provisional_event_of_no_units_is_accepted_like_any(built: Project) -> None:
    built.event("nothing", "2026-02-28 10:00:00", external_id="SMnothing", units=0)
    built.build("2026-02-28", "2026-02-28")
    built.trust()
    with pytest.raises(
        CloseRefused, match=r"2026-02-28 hold pending usage without a provider's record; .* --accept-provisional"
    ):
        close(built)
    close(built, accept_provisional=True)


def test_a_provider_that_was_not_read_is_left_out_by_name_only(built: Project) -> None:
    built.execute(READ.format("twilio", "2026-02-01", "2026-03-20"))
    built.execute(READ.format("openai", "2026-03-01", "2026-03-20"))
    with pytest.raises(CloseRefused, match="openai was never read for 2026-02-01"):
        close(built)
    with pytest.raises(CloseRefused, match="sendgrid was never read for 2026-02-01"):
        close(built, without=["openai"], configured=["twilio", "sendgrid"])
    close(built, without=["openai", "sendgrid"], configured=["twilio", "sendgrid"])
    assert verify(built).findings == []
    with undone(built, "update ops.closed_months set without_providers = '{openai}' where true"):
        assert any("does not follow" in line for line in verify(built).findings)


def test_a_month_is_closed_only_if_it_is_what_raw_gives(built: Project) -> None:
    """The last two days of it, to be quick."""
    built.trust()
    # The proof is of another directory, and these two days are corrupt.
    built.execute("update raw.tenants set usage_hard_stop_enabled = true where tenant_id = 'a'")
    built.execute(
        "update marts.usage_summary set estimated_cost_cents = estimated_cost_cents + 7 where date = '2026-02-28' and tenant_id = 'a'"
    )
    with pytest.raises(
        CloseRefused,
        match=r"marts.usage_summary of 2026-02-28 differs from a rebuild of raw .* `metering rebuild --from 2026-02-27 --to 2026-02-28 --only build`",
    ) as refused:
        close(built, start=date(2026, 2, 27), is_proven=False)
    assert "\n" not in str(refused.value)
    assert built.execute("select count(*) from ops.closed_months") == [(0,)]
    built.execute(
        "update marts.usage_summary set estimated_cost_cents = estimated_cost_cents - 7 where date = '2026-02-28' and tenant_id = 'a'"
    )
    close(built, start=date(2026, 2, 27), is_proven=False)
    # The day that was equal was not built again; both count as proven from now on.
    assert built.execute(
        "select usage_date::text, array_agg(status order by finished_at) from ops.proofs where directory_digest = ops.directory_digest()"
        " group by 1 order by 1"
    ) == [("2026-02-27", ["equal"]), ("2026-02-28", ["different", "equal"])]


def test_a_directory_that_changed_since_the_proof_asks_for_another(built: Project) -> None:
    built.trust()
    built.execute("update raw.tenant_resources set tenant_id = 'b' where resource_id = 'sub_a'")
    with pytest.raises(CloseRefused, match="2026-02-27 differs from a rebuild of raw"):
        close(built, start=date(2026, 2, 27), is_proven=False)


def test_the_prices_are_asked_before_the_raw_tables_are_locked(built: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """They have a connection of their own, which would wait for whoever waits for these locks."""
    free: list[bool] = []

    def affected_days(url: str, rows: object) -> list[date]:
        with psycopg.connect(url) as connection:
            free.extend(
                found
                for table in RAW_TABLES
                for (found,) in connection.execute(
                    "select pg_try_advisory_xact_lock(hashtextextended(%s, 0))", (f"raw.{table}",)
                )
            )
        return []

    monkeypatch.setattr(price_changes, "affected_days", affected_days)
    close(built)
    assert len(free) >= len(RAW_TABLES)
    assert all(free)


def test_a_month_is_closed_once_and_not_with_days_of_other_prices(built: Project, prices: PriceBook) -> None:
    prices.replace(OUTBOUND, "twilio_sms,outbound,,,unit,0.0100,")
    with pytest.raises(
        CloseRefused, match="2026-02-27, 2026-02-28 are not built with the prices of today's price book"
    ):
        close(built)
    build(built, *FEBRUARY)
    close(built)
    with pytest.raises(CloseRefused, match=r"was closed on .* by the accountant"):
        close(built)
    with pytest.raises(CloseRefused, match="2026-03 is not closed: close it with"):
        verify(built, "2026-03")


# --- verifying -------------------------------------------------------------------------------------------------------


def test_verify_names_the_row_of_any_changed_digit(built: Project, prices: PriceBook) -> None:
    root = close(built)
    assert verify(built) == verify_month(built.url, "2026-02", expected_root=root)
    assert verify(built).findings == verify(built).changes == []
    assert verify(built).root == root

    tampering = [
        ("marts", "update marts.usage_daily set unit_count = unit_count + 1e-18 where date = '2026-02-28' and tenant_id = 'a' and channel = 'sms'",
         'marts.usage_daily {.*"channel": "sms".*"tenant_id": "a".*}: changed'),
        ("month", "update marts.tenant_monthly set total_cost_cents = total_cost_cents + 0.01 where month = '2026-02' and tenant_id = 'b'",
         'marts.tenant_monthly {"month": "2026-02", "tenant_id": "b"}: changed'),
        ("row", "delete from marts.usage_summary where date = '2026-02-28' and tenant_id = 'b' and channel = 'email'", "marts.usage_summary .*: gone"),
        ("record", "update raw.twilio_messages set price = -0.0084 where sid = 'SM2026-02-27a'", 'raw.twilio_messages {"sid": "SM2026-02-27a".*}: changed'),
        ("cost", "update raw.openai_costs set amount = amount + 1e-16 where usage_date = '2026-02-28' and project_id = 'proj_a' and line_item like 'web%'",
         "raw.openai_costs {.*web search.*}: changed"),
        ("price", "update ops.price_book_rows set unit_price_usd = '0.0084' where service = 'twilio_sms' and operation = 'outbound'",
         'ops.price_book_rows {.*"outbound".*}: changed'),
        ("seed's table", "update staging.price_book set unit_price_usd = 0.0084 where service = 'twilio_sms' and operation = 'outbound'",
         "staging.price_book: twilio_sms outbound unit was 0.0083 per 1 on 2026-02-01 and is 0.0084 per 1 now, and no build has used it"),
        ("name", "update ops.closed_names set name = 'Other' where tenant_id = 'a'", 'ops.closed_names {.*"tenant_id": "a".*}: changed'),
        ("entry", "update ops.close_items set digest = sha256('x') where relation = 'marts.usage_monthly' and key ->> 'channel' = 'ai' and key ->> 'tenant_id' = 'a'",
         "marts.usage_monthly .*does not follow from the one before"),
        ("entry gone", "delete from ops.close_items where position = 1", "does not follow"),
        ("head", "update ops.closed_months set closed_by = 'somebody else'", "does not follow"),
        ("root", "update ops.closed_months set root = sha256('x')", "its root is not the chain's last link"),
        ("code", "update ops.closed_months set code_version = 'x'", "does not follow"),
    ]  # fmt: skip
    for name, statement, named in tampering:
        with undone(built, statement):
            found = verify(built).findings
            assert any(re.search(named, line) for line in found), (name, found)
    assert verify(built).findings == []

    prices.replace(OUTBOUND, "twilio_sms,outbound,,,unit,0.0084,")
    assert verify(built).findings == [
        "price_book.csv: twilio_sms outbound unit was 0.0083 per 1 on 2026-02-01 and is 0.0084 per 1 now, and no build has used it"
    ]


def test_what_recorded_runs_changed_is_told_apart_from_what_a_hand_did(built: Project, prices: PriceBook) -> None:
    close(built)
    built.event("late", "2026-02-28 12:00:00")
    prices.replace(OUTBOUND, "twilio_sms,outbound,,,unit,0.0100,")
    build(built, *ALL)
    found = verify(built)
    assert found.findings == []
    assert found.changes == [
        "raw.usage_events: 1 event came after the close",
        "staging.price_book: twilio_sms outbound unit was 0.0083 per 1 on 2026-02-01 and is 0.01 per 1 now",
    ]
    built.execute("update raw.usage_events set units = 2 where event_key = 'late'")  # was never part of the close
    assert verify(built).findings == []


def test_a_change_ascribed_to_a_load_that_never_was_is_a_finding(built: Project) -> None:
    close(built)
    built.execute("update raw.twilio_messages set num_segments = 9 where sid = 'SM2026-02-27a'")
    ingested(built, "ACa", "2026-02-27", is_recorded=False)
    unknown = "raw.twilio_messages: 1 record changed by ingest load-2, which ops.ingest_runs does not have for its provider and day"
    assert verify(built).findings == [unknown]
    # A load of another provider, or of other days, is not it.
    built.ingest("load-2", "openai", "2026-02-01", "2026-02-28")
    built.ingest("load-2", "twilio", "2026-03-01", "2026-03-02")
    assert verify(built).findings == [unknown]
    built.ingest("load-2", "twilio", "2026-02-27", "2026-02-27")
    assert verify(built).findings == []
    assert verify(built).changes == ["raw.twilio_messages: 1 record changed by ingest load-2"]


def test_a_record_that_left_its_day_is_ascribed_to_the_day_it_stands_on_now(built: Project) -> None:
    close(built)
    for day, findings in (("2026-03-05", 0), (None, 1)):
        sid = "SM2026-02-27a" if day else "SM2026-02-28a"
        old = built.execute("select usage_date from raw.twilio_messages where sid = %s", sid)[0][0]
        if day:
            built.execute("update raw.twilio_messages set usage_date = %s where sid = %s", day, sid)
        else:
            built.execute("delete from raw.twilio_messages where sid = %s", sid)
        built.execute(
            "select ops.note_record_changes('twilio_messages', '{ACa}', '{2026-03-05}', array[%s], array[%s::date], 'load-3')",
            sid,
            old,
        )
        built.ingest("load-3", "twilio", "2026-03-05", "2026-03-05")
        assert len(verify(built).findings) == findings, verify(built).findings


def test_what_was_written_beside_a_closed_month_cannot_be_changed_unseen(built: Project) -> None:
    close(built)
    built.message("SMlate", "2026-02-28 10:00:00")
    built.message("SMlate in March", "2026-03-02 10:00:00")
    ingested(built, "ACa", "2026-02-28")
    build(built, *ALL)
    assert verify(built).findings == []
    ((adjustment, restatement),) = built.execute(
        "select (select max(id) from ops.cost_adjustments), (select max(id) from ops.cost_restatements)"
    )
    booked = f'ops.cost_adjustments {{"id": {adjustment}, "date": "2026-02-28", "channel": "sms", "tenant_id": "a"}}'
    for statement, undo, found in (
        ("update ops.cost_adjustments set cost_usd = cost_usd + 100", "update ops.cost_adjustments set cost_usd = cost_usd - 100", [f"{booked}: changed since it was written"]),
        ("update ops.cost_adjustments set reason = 'code'", "update ops.cost_adjustments set reason = 'usage'", [f"{booked}: changed since it was written"]),
        (f"update ops.cost_restatements set new_cost_usd = new_cost_usd + 1 where id = {restatement}",
         f"update ops.cost_restatements set new_cost_usd = new_cost_usd - 1 where id = {restatement}",
         [f'ops.cost_restatements {{"id": {restatement}, "date": "2026-03-02", "channel": "sms", "tenant_id": "a"}}: changed since it was written']),
        ("update ops.ledger_links set digest = sha256('x') where ledger = 'ops.closed_record_changes'", "select 1", None),
    ):  # fmt: skip
        built.execute(statement)
        lines = verify(built).findings
        built.execute(undo)
        if found is None:
            assert any("does not follow from the one before" in line for line in lines)
            assert any(line.endswith("changed since it was written") for line in lines)
            built.execute(
                "update ops.ledger_links as links set digest = ops.ledger_digest(to_jsonb(t)) from ops.closed_record_changes as t"
                " where links.ledger = 'ops.closed_record_changes' and links.key ->> 'id' = t.id::text"
            )
        else:
            assert lines == found
    assert verify(built).findings == []
    with undone(built, "delete from ops.ledger_links where ledger = 'ops.cost_adjustments'"):
        chain, row = verify(built).findings
        assert chain.startswith("ops.cost_adjustments: its chain in ops.ledger_links (0 entries) does not end")
        assert row.startswith(f'ops.cost_adjustments {{"id": {adjustment}}}: has no entry in ops.ledger_links')
    built.execute("delete from ops.cost_adjustments")
    assert verify(built).findings == [f"{booked}: gone since it was written"]
    with psycopg.connect(built.url) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute("update ops.closed_record_changes set load_id = 'another'")
    assert any("ops.closed_record_changes" in line and "changed" in line for line in verify(built).findings)


def test_dbt_can_add_to_a_ledger_and_to_no_chain(built: Project) -> None:
    close(built)
    with psycopg.connect(built.url, autocommit=True) as connection:
        connection.execute("set role metering_transformer")
        for statement in (
            "delete from ops.cost_adjustments",
            "insert into ops.ledger_links values ('x', 1, '{}', '', '')",
            "update ops.ledger_ends set row_count = 0",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())


def test_the_directory_of_the_month_is_covered_and_its_loads_are_told(built: Project) -> None:
    close(built)
    for statement, named in (
        ("update raw.tenants set plan = 'elite' where tenant_id = 'a'", 'raw.tenants {"tenant_id": "a", "valid_from": null}: changed'),
        ("update raw.tenant_resources set tenant_id = 'b' where resource_id = 'sub_a'", 'raw.tenant_resources {.*"sub_a".*}: changed'),
        ("insert into raw.tenant_limits (tenant_id, channel, metric, monthly_cap) values ('a', 'sms', 'units', 5)",
         'raw.tenant_limits {.*"a".*}: not there when'),
    ):  # fmt: skip
        with undone(built, statement):
            (line,) = verify(built).findings
            assert re.match(named, line), line
    # What is only valid later is none of February's business.
    built.execute(
        "insert into raw.tenants (tenant_id, name, plan, status, usage_hard_stop_enabled, valid_from) values ('late', 'Late', 'pro', 'active', false, '2026-03-01')"
    )
    assert verify(built).findings == []
    built.execute("delete from raw.tenants where tenant_id = 'late'")

    directory = Directory(
        {
            tenant: [TenantRow("", tenant, f"Tenant {tenant}", plan, "active", False, None, None)]
            for tenant, plan in (("a", "elite"), ("b", "pro"))
        },
        [
            Resource("", *row, None, None, None)
            for row in built.execute("select tenant_id, provider, resource_type, resource_id from raw.tenant_resources")
        ],
        [],
    )
    store(built.url, directory, date(2026, 3, 20))
    found = verify(built)
    assert found.findings == []
    (change,) = found.changes
    assert re.fullmatch("raw.tenants: 1 row changed by ingest [0-9a-f]{16}", change)
    # The same again is no change, and says nothing.
    store(built.url, directory, date(2026, 3, 20))
    assert verify(built).changes == [change]
    built.execute("update raw.tenants set valid_to = valid_to + 1 where tenant_id = 'a' and valid_to is not null")
    assert len(verify(built).findings) == 1


def test_a_mart_that_was_a_table_when_its_month_was_closed_is_held_against_it_as_the_view_it_is_now(
    built: Project,
) -> None:
    view = "marts.focus_cost_and_usage"
    built.execute(f"alter view {view} rename to made_by_a_build")
    built.execute(f"create table {view} as table marts.made_by_a_build")
    built.execute(f"alter table {view} add primary key (date, charge_id)")
    close(built)
    built.execute(f"drop table {view}")
    built.execute(f"alter view marts.made_by_a_build rename to {view.partition('.')[2]}")
    assert (verify(built).findings, verify(built).changes) == ([], [])
    rows = len(built.mart("focus_cost_and_usage", "date < '2026-03-01' and tenant_id = 'a'"))
    # The charges have the names of the close, whatever the directory says.
    with undone(built, "update raw.tenants set name = 'Other' where tenant_id = 'a'"):
        found = verify(built)
    assert [line.partition(" ")[0] for line in found.findings] == ["raw.tenants"]
    assert found.changes == []
    with undone(built, "update ops.closed_names set name = 'Other' where tenant_id = 'a'"):
        found = verify(built)
    # Who has changed the name is asked of the names; the charges only say it.
    assert [line.partition(" ")[0] for line in found.findings] == ["ops.closed_names"]
    assert found.changes == [f"{view}: {rows} rows differ since it became a view of tables that the close covers"]


def test_a_table_that_somebody_has_made_a_view_of_is_held_against_its_rows(built: Project) -> None:
    close(built)
    columns = ", ".join(column for column in columns_of_mart(built, "usage_daily") if column != "unit_count")
    built.execute("alter table marts.usage_daily rename to as_built")
    built.execute(
        f"create view marts.usage_daily as select {columns}, case when date < '2026-03-01' then unit_count + 1 else unit_count end as unit_count"
        " from marts.as_built"
    )
    found = verify(built)
    rows = len(built.mart("usage_daily", "date between '2026-02-01' and '2026-02-28'"))
    assert rows > 0
    assert len([line for line in found.findings if line.startswith("marts.usage_daily ")]) == rows


def columns_of_mart(project: Project, name: str) -> list[str]:
    return [
        str(column)
        for (column,) in project.execute(
            f"select attname from pg_attribute where attrelid = 'marts.{name}'::regclass and attnum > 0 and not attisdropped"
        )
    ]


def test_a_price_book_that_is_only_kept_is_used_by_no_build(built: Project) -> None:
    close(built)
    built.execute(
        "update staging.price_book set unit_price_usd = 0.0084 where service = 'twilio_sms' and operation = 'outbound'"
    )
    built.execute("select ops.keep_price_book('staging.price_book')")
    assert [line for line in verify(built).findings if "no build has used it" in line]


def test_a_table_that_is_gone_is_a_finding(built: Project) -> None:
    close(built)
    built.execute("alter table marts.usage_activity_daily rename to usage_activity_by_day")
    built.execute("drop table staging.price_book cascade")
    assert verify(built).findings == [
        "marts.usage_activity_daily: the table, which the close covers, is gone",
        "staging.price_book: the table is gone; the next build makes it again",
    ]


def test_columns_that_come_later_change_nothing_and_one_that_goes_is_named(built: Project) -> None:
    close(built)
    built.execute("alter table marts.usage_monthly add column note text default 'x'")
    built.execute("alter table raw.twilio_messages add column note text default 'x'")
    assert verify(built).findings == []
    built.execute("alter table marts.usage_monthly drop column provisional_unit_count")
    assert verify(built).findings == [
        "marts.usage_monthly: column provisional_unit_count, which the close covers, is gone"
    ]


def test_digests_do_not_depend_on_the_sessions_settings(built: Project) -> None:
    close(built)
    for name, value in (("timezone", "Pacific/Auckland"), ("datestyle", "German"), ("extra_float_digits", "0")):
        built.set_for_all_sessions(name, value)
    try:
        assert verify(built).findings == []
    finally:
        built.execute("do $$ begin execute format('alter database %I reset all', current_database()); end $$")
