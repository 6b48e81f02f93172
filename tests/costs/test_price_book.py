"""The price book's rules: each fault is named by file and row, and the repository's own book has none."""

from __future__ import annotations

import itertools
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costs.rules.price_book import Price, PriceBookError, carve, check, differences, parse_book, render
from costs.rules.price_versions import read_rows, version_of
from costs.rules.services import COUNTED, SERVICES
from costs.seeds import check_price_book, plans_of, seed_texts
from tests.oracle import write_seeds
from usage_metering.openai_usage import OPERATIONS as OPENAI_OPERATIONS
from usage_metering.taxonomy import DEFAULT_OPERATIONS

HEADER = "service,operation,model,plan,component,unit_price_usd,per,effective_from,effective_to,source"
GOOD = "twilio_sms,outbound,,,unit,0.0083,1,2026-01-01,,test"
PLANS = {"starter", "pro"}


def problems(*rows: str) -> tuple[str, ...]:
    with pytest.raises(PriceBookError) as raised:
        check(parse_book("\n".join([HEADER, *rows])), plans=PLANS)
    return raised.value.problems


def test_the_repository_s_book_is_right_and_comes_back_as_it_was() -> None:
    assert check_price_book() > 90
    text = seed_texts()["price_book.csv"]
    assert render(price for _, price in parse_book(text)) == text


def test_the_tests_hard_book_is_right(tmp_path) -> None:  # type: ignore[no-untyped-def]
    write_seeds(tmp_path, date(2026, 3, 1))
    check(parse_book((tmp_path / "price_book.csv").read_text()), plans=plans_of((tmp_path / "plans.csv").read_text()))


# What one use of each endpoint costs that OpenAI does not count in tokens, computed by hand from its list of prices.
ONE_USE = {
    ("web_search_call", ""): (1, "0.01"),
    ("web_search_call", "gpt-4o-search-preview"): (1, "0.025"),
    ("web_search_call", "gpt-4o-mini-search-preview"): (1, "0.025"),
    ("file_search_call", ""): (1, "0.0025"),
    ("vector_store", ""): (3 * 2**30, "0.3"),  # GB of 2^30 bytes for a day
    ("code_interpreter_session", ""): (1, "0.03"),
    ("audio_speech", "tts-1"): (1000, "0.015"),
    ("audio_speech", "tts-1-hd"): (1000, "0.03"),
    ("audio_transcription", "whisper-1"): (60, "0.006"),
    ("audio_transcription", "gpt-transcribe"): (60, "0.0045"),
    ("audio_transcription", "gpt-4o-transcribe"): (60, "0.006"),
    ("audio_transcription", "gpt-4o-transcribe-diarize"): (60, "0.006"),
    ("audio_transcription", "gpt-4o-mini-transcribe"): (60, "0.003"),
}


def test_what_openai_counts_otherwise_than_in_tokens_costs_what_its_list_says() -> None:
    prices = [price for _, price in parse_book(seed_texts()["price_book.csv"])]
    book = {
        (price.operation, price.model): price
        for price in prices
        if price.service == "openai" and price.operation in COUNTED
    }
    assert set(book) == set(ONE_USE)
    for key, (quantity, cost) in ONE_USE.items():
        price = book[key]
        # A binary GB is no multiple of `per`: its price is as exact as the book's digits.
        assert abs(quantity * price.unit_price_usd / price.per - Decimal(cost)) < Decimal("1e-14"), key
        assert "read 2026-" in price.source


def test_services_and_operations_are_those_of_the_records() -> None:
    assert set(SERVICES["openai"].operations or ()) >= set(OPENAI_OPERATIONS.values())
    assert all(operation in (SERVICES[service].operations or ()) for service, operation in DEFAULT_OPERATIONS.items())


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("twilio_mms,outbound,,,unit,1,1,,,t", "unknown service twilio_mms (one of openai, "),
        (",outbound,,,unit,1,1,,,t", "unknown service (empty)"),
        ("twilio_sms,outbund,,,unit,1,1,,,t", "unknown operation outbund of twilio_sms"),
        ("twilio_sms,inbound,,,units,1,1,,,t", "unknown component units (one of unit, "),
        ("twilio_sms,inbound,,,input,1,1,,,t", "component input does not apply to twilio_sms: use unit"),
        ("openai,,gpt-5,,unit,1,1,,,t", "component unit does not apply to openai: use"),
        (
            "stripe,charge,,,percentage,2.9,1,,,t",
            "a percentage is the price of 1 dollar (0.029 is 2.9 %), not 2.9 per 1",
        ),
        ("twilio_sms,inbound,,gold,unit,1,1,,,t", "unknown plan gold (one of pro, starter, or empty for any)"),
        ("twilio_sms,inbound,,,unit,-0.01,1,,,t", "unit_price_usd is negative: -0.01"),
        ("twilio_sms,inbound,,,unit,,1,,,t", "unit_price_usd is not a number: (empty)"),
        ("twilio_sms,inbound,,,unit,NaN,1,,,t", "unit_price_usd is not a number: NaN"),
        ("twilio_sms,inbound,,,unit,1e-19,1,,,t", "unit_price_usd has too many digits"),
        ("twilio_sms,inbound,,,unit,1,100,,,t", "per must be one of 1, 1000, 1000000, not 100"),
        ("twilio_sms,inbound,,,unit,1,1,2026-13-01,,t", "effective_from is not a date (write 2026-10-01): 2026-13-01"),
        ("twilio_sms,inbound,,,unit,1,1,20260101,,t", "effective_from is not a date (write 2026-10-01): 20260101"),
        ("twilio_sms ,inbound,,,unit,1,1,,,t", "a cell begins or ends with a blank"),
        ("twilio_sms,inbound,,,unit,1,1,2026-02-01,2026-02-01,t", "effective_to 2026-02-01 is not after"),
        (
            "twilio_sms,outbound,,,unit,1,1,2026-05-01,,t",
            "overlaps row 2 of twilio_sms/outbound/any/any/unit from 2026-05-01",
        ),
        ("twilio_sms,outbound,,,unit,1,1,,2026-01-02,t", ""),
        ("twilio_sms,outbound,,,unit,1,1,,2025-12-31,t", ""),
        ("twilio_sms,inbound,,,unit,1,1,,t", "9 cells where the header has 10"),
    ],
)
def test_a_wrong_row_is_named(row: str, message: str) -> None:
    found = problems(GOOD, row)
    if message:
        assert found == (next(iter(found)),)
        assert found[0].startswith("price_book.csv row 3: ")
        assert message in found[0]
    else:
        # The row that follows in time is the one that overlaps, or that leaves the gap.
        assert found[0].startswith("price_book.csv row 2: ")


def test_a_gap_is_named_with_both_its_ends() -> None:
    assert problems("sendgrid,send,,,unit,1,1,,2026-02-01,t", GOOD, "sendgrid,send,,,unit,1,1,2026-03-01,,t") == (
        "price_book.csv row 4: leaves sendgrid/send/any/any/unit without a price from 2026-02-01, where row 2 ends, to 2026-03-01",
    )


def test_an_open_row_overlaps_all_that_follow_and_all_faults_are_told() -> None:
    found = problems(
        GOOD,
        "twilio_sms,outbound,,,unit,1,1,2026-02-01,2026-03-01,t",
        "twilio_sms,outbound,,,unit,1,1,2026-03-01,,t",
    )
    assert [line.split(": ")[0] for line in found] == ["price_book.csv row 3", "price_book.csv row 4"]
    with pytest.raises(PriceBookError, match=r"row 3: .* \(and 1 more: `metering prices check` lists them\)"):
        raise PriceBookError(found)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(PriceBookError, match=r"price_book.csv row 1: column per is missing"):
        parse_book(HEADER.replace("per,", "") + "\n")


DAYS = st.integers(0, 30).map(lambda offset: date(2026, 1, 1) + timedelta(days=offset))


@st.composite
def periods(draw: st.DrawFn) -> list[Price]:
    """Prices of one key that follow each other, with or without open ends."""
    cuts = sorted(draw(st.sets(DAYS, max_size=5)))
    ends = [None, *cuts, None]
    return [
        Price("sendgrid", "send", "", "", "unit", Decimal(number), Decimal(1), first, end, "t")
        for number, (first, end) in enumerate(itertools.pairwise(ends))
    ]


def on(prices: list[Price], day: date) -> list[Decimal]:
    return [price.unit_price_usd for price in prices if price.begins <= day < price.ends]


@given(periods(), DAYS, st.integers(1, 20))
def test_a_carved_price_holds_in_its_period_and_nothing_else_changes(
    prices: list[Price], first: date, length: int
) -> None:
    end = first + timedelta(days=length)
    proposed = Price("sendgrid", "send", "", "", "unit", Decimal(99), Decimal(1), first, end, "p")
    other = Price("sendgrid", "send", "", "pro", "unit", Decimal(1), Decimal(1), None, None, "t")
    carved = carve([*prices, other], proposed)
    assert other in carved
    carved.remove(other)
    check(enumerate(carved), plans=PLANS)
    for offset in range(-5, 60):
        day = date(2026, 1, 1) + timedelta(days=offset)
        assert on(carved, day) == ([Decimal(99)] if first <= day < end else on(prices, day))


def test_differences_are_of_figures_not_of_words() -> None:
    book = [price for _, price in parse_book(f"{HEADER}\n{GOOD}\n")]
    reworded = [price for _, price in parse_book(f"{HEADER}\n{GOOD.replace('test', 'read again')}\n")]
    dearer = [price for _, price in parse_book(f"{HEADER}\n{GOOD.replace('0.0083', '0.00830000001')}\n")]
    assert differences(book, reworded) == ([], [])
    assert differences(book, dearer) == (book, dearer)


@pytest.mark.parametrize(
    ("service", "tier", "message"),
    [
        ("openai", "batch", None),
        ("openai", "flex_long_context", None),
        ("openai", "Batch", "unknown tier Batch"),
        ("sendgrid", "batch", "sendgrid has no tiers"),
    ],
)
def test_a_tier_is_one_of_ai_s(service: str, tier: str, message: str | None) -> None:
    component = "input" if service == "openai" else "unit"
    price = Price(service, "", "", "", component, Decimal(1), Decimal(1), None, None, "s", tier)
    if message is None:
        check([(2, price)], plans=())
    else:
        with pytest.raises(PriceBookError, match=message):
            check([(2, price)], plans=())


def test_a_book_from_before_tiers_is_read_and_has_its_version() -> None:
    text = "service,operation,model,plan,component,unit_price_usd,per,effective_from,effective_to,source\nopenai,,m,,input,1,1,,,s\n"
    later = text.replace("source\n", "source,tier\n")
    assert parse_book(text) == parse_book(later) == parse_book(later.replace(",s\n", ",s,\n"))
    assert version_of(read_rows(text)) == version_of(read_rows(later))
    assert version_of(read_rows(later.replace(",s\n", ",s,flex\n"))) != version_of(read_rows(text))
