"""What the SDK's own usage objects say: cached and written tokens are parts of the input."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from openai.types import CompletionUsage
from openai.types.responses import ResponseUsage

from usage_metering.openai_usage import Usage, usage_of

RESPONSES = {
    "input_tokens": 2_600,
    "input_tokens_details": {"cached_tokens": 2_000, "cache_write_tokens": 400},
    "output_tokens": 100,
    "output_tokens_details": {"reasoning_tokens": 64},
    "total_tokens": 2_700,
}
CHAT = {
    "prompt_tokens": 2_600,
    "prompt_tokens_details": {"cached_tokens": 2_000, "cache_write_tokens": 400},
    "completion_tokens": 100,
    "completion_tokens_details": {"reasoning_tokens": 64},
    "total_tokens": 2_700,
}


@pytest.mark.parametrize(
    "usage", [RESPONSES, CHAT, ResponseUsage.model_validate(RESPONSES), CompletionUsage.model_validate(CHAT)]
)
def test_tokens_written_to_the_cache_are_told(usage: object) -> None:
    assert usage_of(SimpleNamespace(usage=usage)) == Usage(
        input_tokens=2_600,
        cached_input_tokens=2_000,
        cache_write_tokens=400,
        output_tokens=100,
        details={"reasoning_tokens": 64},
    )


def test_parts_are_never_more_than_the_input() -> None:
    details = {"cached_tokens": 70, "cache_write_tokens": 70}
    found = usage_of({"usage": {"input_tokens": 100, "input_tokens_details": details, "output_tokens": 1}})
    assert found == Usage(input_tokens=100, cached_input_tokens=70, cache_write_tokens=30, output_tokens=1)
