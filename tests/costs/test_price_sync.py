"""Proposals from published prices: what the book lacks, never its past, and nothing twice."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from costs.rules.price_book import check, parse_book
from costs.rules.price_sync import apply, propose
from costs.rules.published import Period, PublishedModel, UnknownModel, published_models, source
from costs.seeds import plans_of, seed_texts

HEADER = "service,operation,model,plan,component,unit_price_usd,per,effective_from,effective_to,source"
TODAY = date(2026, 11, 21)
BOOK = "\n".join(
    [
        HEADER,
        "twilio_sms,outbound,,,unit,0.0083,1,2024-01-01,,as it stands",
        "openai,chat_completion,m,,input,2,1000000,2024-01-01,2025-01-01,old",
        "openai,chat_completion,m,,input,1,1000000,2025-01-01,,now",
        "openai,chat_completion,m,,output,0.004,1000,2024-01-01,,now",
        "",
    ]
)


def model(**components: tuple[Period, ...]) -> PublishedModel:
    return PublishedModel("m", "chat_completion", components)


def period(price: str, start: str | None = None) -> Period:
    return Period(date.fromisoformat(start) if start else None, Decimal(price))


def proposed(published: PublishedModel) -> list[tuple[str, str, str, str, int | None]]:
    found = propose(parse_book(BOOK), [published], today=TODAY, source="s")
    return [
        (
            proposal.price.component,
            f"{proposal.price.unit_price_usd}",
            str(proposal.price.effective_from),
            str(proposal.price.effective_to),
            proposal.ends_line,
        )
        for proposal in found
    ]


@pytest.mark.parametrize(
    ("published", "expected"),
    [
        # The same price, by another `per`: nothing.
        (model(input=(period("1"),), output=(period("4"),)), []),
        # Another past: the book's stands.
        (model(input=(period("7"), period("1", "2024-06-01"))), []),
        # A dated change: from its day.
        (model(input=(period("1"), period("0.5", "2026-10-01"))), [("input", "0.5", "2026-10-01", "None", 4)]),
        # Two dated changes, one of them to come.
        (
            model(input=(period("1"), period("0.5", "2026-10-01"), period("0.25", "2027-01-01"))),
            [("input", "0.5", "2026-10-01", "2027-01-01", 4), ("input", "0.25", "2027-01-01", "None", None)],
        ),
        # An undated difference: from today.
        (model(output=(period("5"),)), [("output", "5", str(TODAY), "None", 5)]),
        # A component that the book lacks: with its history, from where the book begins.
        (
            model(cached_input=(period("0.2"), period("0.1", "2025-06-10"))),
            [
                ("cached_input", "0.2", "2024-01-01", "2025-06-10", None),
                ("cached_input", "0.1", "2025-06-10", "None", None),
            ],
        ),
        # A history that ended before the book begins.
        (
            model(cached_input=(period("9"), period("0.1", "2023-06-10"))),
            [("cached_input", "0.1", "2023-06-10", "None", None)],
        ),
    ],
)
def test_proposals(published: PublishedModel, expected: list[tuple[str, str, str, str, int | None]]) -> None:
    assert proposed(published) == expected


def test_applied_it_changes_the_ended_line_and_adds_at_the_end() -> None:
    published = model(input=(period("1"), period("0.5", "2026-10-01")))
    text = apply(BOOK, propose(parse_book(BOOK), [published], today=TODAY, source="genai"))
    before, after = BOOK.splitlines(), text.splitlines()
    assert after[3] == "openai,chat_completion,m,,input,1,1000000,2025-01-01,2026-10-01,now"
    assert [*after[:3], *after[4:5]] == [*before[:3], *before[4:5]]
    assert after[5:] == ["openai,chat_completion,m,,input,0.5,1000000,2026-10-01,,genai"]
    check(parse_book(text), plans=set())
    assert propose(parse_book(text), [published], today=TODAY, source="genai") == []


def test_the_real_list_fits_the_real_book_and_is_proposed_once() -> None:
    seeds = seed_texts()
    models = published_models()
    found = propose(parse_book(seeds["price_book.csv"]), models, today=TODAY, source=source())
    assert len(found) > 50
    assert source().startswith("OpenAI list price (genai-prices ")
    assert all(proposal.price.source.startswith(source()) for proposal in found)
    text = apply(seeds["price_book.csv"], found)
    book = parse_book(text)
    check(book, plans=plans_of(seeds["plans.csv"]))
    assert propose(book, models, today=TODAY, source=source()) == []
    assert text.startswith(seeds["price_book.csv"])


def test_tiers_are_proposed_whole_and_only_where_the_model_has_them() -> None:
    (mini, terra, old, embedding) = published_models(
        ["gpt-4o-mini", "gpt-6.1-terra", "gpt-5.3", "text-embedding-3-small"]
    )
    # A batch's cached input has no price of its own: the standard one.
    assert mini.tiers["batch"] == {
        "input": (period("0.075", "2026-10-14"),),
        "cached_input": (period("0.075", "2026-10-14"),),
        "output": (period("0.3", "2026-10-14"),),
    }
    # Flex is a context that this model does not have: genai-prices would say the full price.
    assert set(mini.tiers) == {"batch", "priority"}
    long = {f"{tier}_long_context" for tier in ("batch", "flex", "priority")}
    assert set(terra.tiers) == {"batch", "flex", "priority", "long_context", *long}
    assert {tier: prices["input"][0].price_usd for tier, prices in terra.tiers.items()} == {
        "batch": Decimal("0.5"),
        "flex": Decimal("0.5"),
        "priority": Decimal(2),
        "long_context": Decimal(2),
        "batch_long_context": Decimal(1),
        "flex_long_context": Decimal(1),
        "priority_long_context": Decimal(4),
    }
    assert (old.tiers, embedding.tiers) == ({}, {})


def test_a_tier_comes_into_a_book_that_had_none() -> None:
    tiered = PublishedModel("m", "chat_completion", {"input": (period("1"),)}, {"batch": {"input": (period("0.5"),)}})
    text = apply(BOOK, propose(parse_book(BOOK), [tiered], today=TODAY, source="genai"))
    assert text.splitlines()[0] == f"{HEADER},tier"
    assert text.splitlines()[1:-1] == BOOK.splitlines()[1:]
    assert text.splitlines()[-1] == "openai,chat_completion,m,,input,0.5,1000000,2024-01-01,,genai,batch"
    check(parse_book(text), plans=set())
    assert propose(parse_book(text), [tiered], today=TODAY, source="genai") == []


def test_history_cached_prices_and_aliases_are_read() -> None:
    (o3,) = published_models(["o3-2025-04-16"])
    assert o3.name == "o3-2025-04-16"
    assert o3.components["input"] == (period("10"), period("2", "2025-06-10"))
    assert "cached_input" in o3.components
    (small,) = published_models(["text-embedding-3-small"])
    assert (small.operation, set(small.components)) == ("embedding", {"input"})
    (tiered,) = published_models(["gpt-5.6-luna"])
    assert tiered.components["input"][0].up_to == 272_000
    (writing,) = published_models(["gpt-5.6-terra"])
    assert writing.components["cache_write"][-1].price_usd == writing.components["input"][-1].price_usd * Decimal(
        "1.25"
    )


def test_claudes_prices_are_read_with_both_lives_of_a_cache_write() -> None:
    (sonnet, haiku, opus) = published_models(["claude-sonnet-5", "claude-haiku-5-5", "claude-opus-5-5"])
    assert {name: periods[0].price_usd for name, periods in sonnet.components.items()} == {
        "input": Decimal(2),
        "cached_input": Decimal("0.2"),
        "cache_write": Decimal("2.5"),
        "cache_write_1h": Decimal(4),
        "output": Decimal(10),
    }
    assert sonnet.tiers["batch"]["cache_write_1h"] == (period("2", "2026-10-14"),)
    # Above 100,000 tokens of input, where other models' long calls begin at 200,000.
    assert set(haiku.tiers) == {"long_context", "batch", "batch_long_context"}
    assert haiku.tiers["long_context"]["output"] == (period("2.5"),)
    assert opus.tiers["fast_mode"]["input"] == (period("8"),)


def test_each_vendors_models_bear_the_names_of_its_answers() -> None:
    models = {(model.service, model.operation, model.name): model for model in published_models()}
    assert ("anthropic", "chat_completion", "claude-sonnet-4") in models  # …-20250514; the id is claude-sonnet-4-0
    assert ("anthropic", "chat_completion", "claude-3-5-haiku") in models
    search = models["anthropic", "web_search_call", ""]
    assert (search.components, search.per) == ({"unit": (period("10"),)}, 1000)


@pytest.mark.parametrize("name", ["no-such-model", "whisper-1", "gpt-image-1", "gpt-realtime"])
def test_a_model_without_text_prices_is_refused(name: str) -> None:
    with pytest.raises(UnknownModel, match=name):
        published_models([name])
