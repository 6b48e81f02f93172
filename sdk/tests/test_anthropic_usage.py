"""What an answer of Anthropic's says that it used: buckets that share no token and sum to the vendor's total."""

from __future__ import annotations

from typing import Any

import pytest

from usage_metering.anthropic_usage import StreamedMessage, is_unbilled, tier_of, tokens_to_reserve, usage_of
from usage_metering.openai_usage import Usage

SAID: dict[str, Any] = {
    "input_tokens": 200,
    "cache_read_input_tokens": 2_000,
    "cache_creation_input_tokens": 400,
    "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 300},
    "output_tokens": 50,
}


@pytest.mark.parametrize(
    ("said", "buckets"),
    [
        (SAID, (2_600, 2_000, 100, 300, 50)),
        ({**SAID, "cache_creation": None}, (2_600, 2_000, 400, 0, 50)),
        ({**SAID, "cache_creation_input_tokens": None}, (2_600, 2_000, 100, 300, 50)),
        ({"input_tokens": 7, "output_tokens": 0}, (7, 0, 0, 0, 0)),
        # A compaction's tokens are not in the totals; a turn of the tool loop's are.
        ({**SAID, "iterations": [{**SAID, "type": "message"}]}, (2_600, 2_000, 100, 300, 50)),
        ({**SAID, "iterations": [{"type": "compaction", "input_tokens": 9, "output_tokens": 1}]}, (2_609, 2_000, 100, 300, 51)),
    ],
)  # fmt: skip
def test_the_buckets_share_no_token(said: dict[str, Any], buckets: tuple[int, ...]) -> None:
    found = usage_of({"usage": said})
    assert found is not None
    assert (
        found.input_tokens,
        found.cached_input_tokens,
        found.cache_write_tokens,
        found.cache_write_1h_tokens,
        found.output_tokens,
    ) == buckets


def test_what_was_used_beside_the_answer() -> None:
    advice = {"type": "advisor_message", "model": "claude-opus-5", "input_tokens": 3, "output_tokens": 2}
    found = usage_of({"usage": {**SAID, "server_tool_use": {"web_search_requests": 2}, "iterations": [advice, advice]}})
    assert found is not None
    assert found.web_searches == 2
    assert found.advisors == {"claude-opus-5": Usage(input_tokens=6, output_tokens=4)}
    assert usage_of({"usage": None}) is None
    assert usage_of({}) is None


FABLE, OPUS = "claude-fable-5", "claude-opus-4-8"
# As the vendor's guide has it: the totals are those of the attempt that was served.
DECLINED = {"type": "message", "model": FABLE, "input_tokens": 400, "output_tokens": 90}
SERVED = {"type": "fallback_message", "model": OPUS, "input_tokens": 490, "output_tokens": 264}


@pytest.mark.parametrize(
    ("iterations", "declined"),
    [
        ([DECLINED, SERVED], {FABLE: Usage(input_tokens=400, output_tokens=90)}),
        ([{**DECLINED, "output_tokens": 0}, SERVED], {}),  # declined before it had said anything: not billed
        ([SERVED], {}),  # went to the fallback at once, as the conversation's turn before did
        ([{**DECLINED, "model": OPUS}, {**DECLINED, "model": None}, SERVED], {}),  # turns of a tool loop, in the totals
        ([DECLINED, {**DECLINED, "model": "claude-opus-5"}, SERVED],
         {name: Usage(input_tokens=400, output_tokens=90) for name in (FABLE, "claude-opus-5")}),
    ],
)  # fmt: skip
def test_what_declined_after_it_had_begun_was_used_beside_the_answer(
    iterations: list[dict[str, Any]], declined: dict[str, Usage]
) -> None:
    found = usage_of({"usage": {"input_tokens": 490, "output_tokens": 264, "iterations": iterations}})
    assert found is not None
    assert (found.input_tokens, found.output_tokens, found.served_by) == (490, 264, OPUS)
    assert found.declined == declined


@pytest.mark.parametrize(
    ("message", "is_free"),
    [
        ({"stop_reason": "refusal", "usage": {"input_tokens": 412, "output_tokens": 0}}, True),
        ({"stop_reason": "refusal", "usage": {"input_tokens": 412, "output_tokens": 7}}, False),
        ({"stop_reason": "end_turn", "usage": {"input_tokens": 412, "output_tokens": 0}}, False),
        ({"stop_reason": "refusal", "usage": {"output_tokens": 0, "iterations": [{**DECLINED, "output_tokens": 0}]}}, True),
        ({"stop_reason": "refusal", "usage": {"output_tokens": 0, "iterations": [DECLINED]}}, False),
    ],
)  # fmt: skip
def test_what_is_declined_before_there_is_output_is_free(message: dict[str, Any], is_free: bool) -> None:
    assert is_unbilled(message) is is_free


@pytest.mark.parametrize(
    ("said", "answer"),
    [(0, Usage()), (7, Usage(input_tokens=490, output_tokens=7))],  # the last one at once: not billed; after it had begun: billed
)  # fmt: skip
def test_where_all_models_decline_each_that_had_begun_was_used(said: int, answer: Usage) -> None:
    last = {"input_tokens": 490, "output_tokens": said}
    usage = {**last, "iterations": [DECLINED, {**last, "type": "fallback_message", "model": OPUS}]}
    message = {"stop_reason": "refusal", "usage": usage}
    found = usage_of(message)
    assert found is not None
    assert not is_unbilled(message)
    assert (found.input_tokens, found.output_tokens, found.served_by) == (
        answer.input_tokens,
        answer.output_tokens,
        OPUS,
    )
    assert found.declined == {FABLE: Usage(input_tokens=400, output_tokens=90)}


def test_turns_of_a_tool_loop_are_not_declined() -> None:
    found = usage_of({"usage": {**SAID, "iterations": [DECLINED, {**DECLINED, "model": OPUS}]}})
    assert found is not None
    assert (found.declined, found.served_by) == ({}, None)


@pytest.mark.parametrize(
    ("said", "tier"),
    [
        ({"service_tier": "standard"}, None),
        ({"service_tier": "batch"}, "batch"),
        ({"service_tier": "priority", "speed": "standard"}, "priority"),
        ({"service_tier": "standard", "speed": "fast"}, "fast_mode"),
        ({}, None),
    ],
)
def test_the_tier_is_what_has_prices_of_its_own(said: dict[str, Any], tier: str | None) -> None:
    assert tier_of({"usage": said}) == tier


def test_a_stream_tells_its_input_first_and_its_totals_last() -> None:
    answer = StreamedMessage()
    answer.see(
        {"type": "message_start", "message": {"id": "msg_1", "model": "m", "usage": {**SAID, "output_tokens": 1}}}
    )
    answer.see({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "12345678"}})
    assert answer.usage is None
    estimate = answer.estimate({})
    assert (estimate.input_tokens, estimate.cache_write_1h_tokens, estimate.output_tokens) == (2_600, 300, 2)
    assert not answer.see({"type": "message_delta", "usage": {"output_tokens": 50}})
    assert answer.see({"type": "message_stop"})
    assert answer.usage == usage_of({"usage": SAID})


def test_a_stream_s_model_is_the_one_that_takes_over() -> None:
    answer = StreamedMessage()
    answer.see({"type": "message_start", "message": {"id": "msg_1", "model": FABLE, "usage": {"input_tokens": 400}}})
    block = {"type": "fallback", "from": {"model": FABLE}, "to": {"model": OPUS}}
    answer.see({"type": "content_block_start", "index": 1, "content_block": block})
    assert answer.model == OPUS


def test_room_is_asked_for_all_of_a_batch() -> None:
    request = {"max_tokens": 100, "messages": [{"role": "user", "content": "hello"}]}
    one = tokens_to_reserve("/v1/messages", request)
    assert one > 100
    batch = {"requests": [{"custom_id": "a", "params": request}, {"custom_id": "b", "params": request}]}
    assert tokens_to_reserve("/v1/messages/batches", batch) == 2 * one
