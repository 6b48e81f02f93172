"""A unit that is answered with what is stored is left as it stands; any other is replaced."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta

import pytest

from ingestion.run import PROVIDERS
from tests.ingestion.ingesting import AS_OF, DAY, Ingest

Rows = dict[str, set[tuple[object, ...]]]

# What the fixtures have rows of, with a column that can say something else.
CHANGEABLE = {
    "twilio_messages": "num_segments",
    "twilio_usage_records": "price",
    "openai_usage_completions": "output_tokens",
    "openai_costs": "amount",
    "sendgrid_subuser_stats": "processed",
    "stripe_balance_transactions": "net_minor",
    "r2_operations": "requests",
}


def _rows(ingest: Ingest, tables: Sequence[str]) -> Rows:
    """Return where each row stands and who wrote it: another row, or the same written again, is another value."""
    return {table: set(ingest.query(f"select ctid::text, xmin::text, load_id from raw.{table}")) for table in tables}


@pytest.mark.parametrize("provider", sorted(PROVIDERS))
def test_the_same_answer_touches_nothing(ingest: Ingest, provider: str) -> None:
    tables = PROVIDERS[provider].tables
    first = ingest.run(provider)
    before = _rows(ingest, tables)
    reads = "select table_name, account_id, usage_date, row_count, rejected_count from ops.source_reads"
    read, at = set(ingest.query(reads)), ingest.query("select min(answered_at) from ops.source_reads")
    second = ingest.run(provider)
    assert any(before.values())
    assert _rows(ingest, tables) == before
    assert {table: result.rows for table, result in second.tables.items()} == {
        table: result.rows for table, result in first.tables.items()
    }
    for table, result in second.tables.items():
        assert result.unchanged == (0 if table in PROVIDERS[provider].held else result.answered)
    assert set(ingest.query(reads)) == read
    assert ingest.query("select min(answered_at) from ops.source_reads") > at  # that it was asked is told


@pytest.mark.usefixtures("without_dlt")
def test_a_listing_that_is_a_day_older_says_so(ingest: Ingest) -> None:
    ingest.run("twilio")
    ingest.run("twilio", as_of=AS_OF + timedelta(days=1))
    seen = ingest.query("select distinct last_seen_on from raw.twilio_phone_numbers")
    assert seen == [(AS_OF.date() + timedelta(days=1),)]


@pytest.mark.usefixtures("without_dlt")
def test_whatever_was_done_to_stored_rows_the_provider_s_word_stands_again(ingest: Ingest) -> None:
    for provider in PROVIDERS:
        ingest.run(provider)
    stored = {table: ingest.stored(table) for table in CHANGEABLE}
    dice = random.Random(15)
    for _ in range(6):
        table = dice.choice(sorted(table for table in CHANGEABLE if stored[table]))
        column = CHANGEABLE[table]
        account, day, row_id = dice.choice(
            ingest.query(f"select account_id, usage_date, ctid::text from raw.{table} order by ctid")
        )
        before = _rows(ingest, [table])[table]
        of_the_unit = set(
            ingest.query(
                f"select ctid::text, xmin::text, load_id from raw.{table} where account_id = %s and usage_date = %s",
                account,
                day,
            )
        )
        change = dice.choice(["delete from raw.{table}", "update raw.{table} set {column} = coalesce({column}, 0) + 1"])
        ingest.query(change.format(table=table, column=column) + " where ctid = %s::tid", row_id)
        result = ingest.run(next(provider for provider, spec in PROVIDERS.items() if table in spec.tables))
        assert ingest.stored(table) == stored[table]
        assert result.tables[table].unchanged == result.tables[table].answered - 1
        # All other units' rows are the very same.
        assert before - of_the_unit <= _rows(ingest, [table])[table]


@pytest.mark.usefixtures("without_dlt")
def test_two_records_that_exchanged_a_value_are_put_right(ingest: Ingest) -> None:
    ingest.run("twilio")
    stored = ingest.stored("twilio_messages")
    one, other = ingest.query(
        "select min(sid), max(sid) from raw.twilio_messages group by account_id, usage_date"
        " having count(distinct date_sent) > 1 limit 1"
    )[0]
    ingest.query(
        "update raw.twilio_messages as t set date_sent = (select o.date_sent from raw.twilio_messages as o"
        " where o.sid = case t.sid when %s then %s else %s end) where sid in (%s, %s)",
        *(one, other, one, one, other),
    )
    assert ingest.stored("twilio_messages") != stored
    ingest.run("twilio")
    assert ingest.stored("twilio_messages") == stored


@pytest.mark.usefixtures("without_dlt")
def test_a_record_that_is_new_replaces_its_own_day_only(ingest: Ingest) -> None:
    ingest.run("twilio")
    before = _rows(ingest, ["twilio_messages"])["twilio_messages"]
    new = {**ingest.message(), "sid": "SM" + "f" * 32}
    ingest.sandbox.put("twilio_messages", new)
    result = ingest.run("twilio").tables["twilio_messages"]
    assert result.unchanged == result.answered - 1
    assert ingest.query("select usage_date from raw.twilio_messages where sid = %s", new["sid"]) == [(DAY,)]
    account = new["account_sid"]
    others = ingest.query(
        "select ctid::text, xmin::text, load_id from raw.twilio_messages where usage_date <> %s or account_id <> %s",
        DAY,
        account,
    )
    assert set(others) <= before


@pytest.mark.usefixtures("without_dlt")
def test_a_record_that_moved_leaves_the_day_that_was_not_read(ingest: Ingest) -> None:
    ingest.run("twilio")
    stored = ingest.query("select sid from raw.twilio_messages where usage_date = %s order by 1 limit 1", DAY)[0][0]
    message = next(dict(message) for message in ingest.sandbox.dataset.twilio_messages if message["sid"] == stored)
    later = (DAY + timedelta(days=1)).strftime("%d %b %Y")
    message["date_sent"] = str(message["date_sent"]).replace(DAY.strftime("%d %b %Y"), later)
    ingest.sandbox.put("twilio_messages", message)
    ingest.run("twilio")
    assert ingest.query("select usage_date from raw.twilio_messages where sid = %s", stored) == [
        (DAY + timedelta(days=1),)
    ]


@pytest.mark.usefixtures("without_dlt")
def test_a_total_that_was_counted_again_is_news_only_where_its_day_was_not_over(ingest: Ingest) -> None:
    ingest.run("twilio")
    for counted, news in (("as_of - interval '1 hour'", 0), ("usage_date::timestamp at time zone 'UTC'", 1)):
        ingest.query(f"update raw.twilio_usage_records set as_of = {counted} where usage_date = %s", DAY)
        result = ingest.run("twilio").tables["twilio_usage_records"]
        accounts = ingest.query(
            "select count(distinct account_id) from raw.twilio_usage_records where usage_date = %s", DAY
        )
        assert result.answered - result.unchanged == news * accounts[0][0]
    early = "select count(*) from raw.twilio_usage_records where (as_of at time zone 'UTC')::date <= usage_date"
    assert ingest.query(early) == [(0,)]
