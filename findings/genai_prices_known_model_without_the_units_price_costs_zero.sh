#!/usr/bin/env bash
# genai-prices 0.2.3: a known model that has no price for the unit that was used costs 0, or its text price, without a word.
#
# An unknown model raises LookupError. One would expect the same, or None, where the model is known and the unit has no price. Seen:
#
#   calc_price of 1M input tokens (USD)
#     an unknown model                                      LookupError
#     gpt-transcribe, priced by the hour only               0
#     tts-1, priced by the character only                   0
#     gpt-live-1, priced by the hour, 1M in and 1M out      0
#   calc_price of 1M input tokens, all of them audio
#     gpt-audio of openai                                   32.0
#     openai/gpt-audio of openrouter                        2.5: no audio price there, so the text price
#     gpt-4o-audio-preview of openai                        2.5: likewise
#   extract_usage of a transcription's answer, 4 of 14 input tokens audio (it spells `input_token_details`)
#                                                           no audio tokens, and so all at the text price
#
# The result has no field that says that a unit had no price.
#
# Why a user of usage metering cares: usage whose cost is unknown is booked as free, or as text at a thirteenth of audio's price; a cap in
# money never fills, and a margin looks better than it is. Before believing a 0, look which units the model has prices for
# (`model.prices`), and keep what has none as unpriced.
#
# Fails when any of this changes. Needs Python >= 3.11 and a package index.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'genai-prices==0.2.3' 2>/dev/null
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings
from decimal import Decimal

from genai_prices import Usage, calc_price, extract_usage

warnings.simplefilter("error")  # nothing of this warns
MILLION = 1_000_000


def price(model, provider="openai", **usage):
    try:
        return calc_price(Usage(**usage), model, provider_id=provider).total_price
    except LookupError:
        return "LookupError"


TRANSCRIPTION = {
    "model": "gpt-4o-transcribe",
    "usage": {
        "type": "tokens", "input_tokens": 14, "input_token_details": {"text_tokens": 10, "audio_tokens": 4},
        "output_tokens": 0, "total_tokens": 14,
    },
}
audio = {"input_tokens": MILLION, "input_audio_tokens": MILLION}
extracted = extract_usage(TRANSCRIPTION, provider_id="openai", api_flavor="responses")
seen = {
    "an unknown model": price("a-model-of-nobody", input_tokens=MILLION),
    "gpt-transcribe": price("gpt-transcribe", input_tokens=MILLION),
    "tts-1": price("tts-1", input_tokens=MILLION),
    "gpt-live-1": price("gpt-live-1", input_tokens=MILLION, output_tokens=MILLION),
    "audio of openai gpt-audio": price("gpt-audio", **audio),
    "audio of openrouter openai/gpt-audio": price("openai/gpt-audio", "openrouter", **audio),
    "audio of openai gpt-4o-audio-preview": price("gpt-4o-audio-preview", **audio),
    "a transcription, as extracted": extracted.calc_price().total_price * MILLION,
    "a transcription, with its audio": price("gpt-4o-transcribe", input_tokens=14, input_audio_tokens=4) * MILLION,
}
expected = dict(
    zip(
        seen,
        ["LookupError", Decimal(0), Decimal(0), Decimal(0), Decimal(32), Decimal("2.5"), Decimal("2.5"), Decimal(35), Decimal(49)],
        strict=True,
    )
)
for name, figure in seen.items():
    print(f"{name}: {figure}")
changed = [name for name in seen if seen[name] != expected[name]]
sys.exit(f"CHANGED: {', '.join(changed)}" if changed else 0)
PYTHON
echo "as stated"
