#!/usr/bin/env bash
# genai-prices 0.2.3: a price context that matches no variant is the standard price, without a word.
#
# Since 0.2 the package knows what OpenAI charges for batch, flex and priority processing, and `calc_price` takes a
# `price_context` to choose among them. One would expect the words of OpenAI's own usage (a bucket says `service_tier`
# beside `batch: true`) to be enough, or an error where a word is unknown. What was seen for gpt-5, a million tokens each way:
#
#   {"service_tier": "flex"}      5.625   half, as it should be
#   {"processing": "batch"}       5.625   half: batch has a key of its own
#   {"service_tier": "batch"}    11.25    the full price: twice what a batch costs
#   {"service_tier": "Flex"}     11.25    letters count
#   {"tier": "priority"}         11.25    half of what priority costs (22.50): an unknown key is no error
#
# Why a user of usage metering cares: whoever fills a price book, or prices events at the source, from this package gets costs that
# are off by a factor of two, in either direction, and nothing that says so. Compare with the price without a context before
# believing that a context was understood.
#
# Fails when any of this changes. Needs Python >= 3.11 and a package index.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'genai-prices==0.2.3' 2>/dev/null
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from decimal import Decimal
from importlib.metadata import version

from genai_prices import Usage, calc_price

expected = {
    (): "11.25",
    ("service_tier", "flex"): "5.625",
    ("processing", "batch"): "5.625",
    ("service_tier", "priority"): "22.50",
    ("service_tier", "batch"): "11.25",
    ("service_tier", "Flex"): "11.25",
    ("tier", "priority"): "11.25",
}
usage = Usage(input_tokens=1_000_000, output_tokens=1_000_000)
changed = False
print("genai-prices", version("genai-prices"), "gpt-5, 1,000,000 tokens in and 1,000,000 out")
for context, price in expected.items():
    chosen = {"price_context": {context[0]: context[1]}} if context else {}
    found = calc_price(usage, model_ref="gpt-5", provider_id="openai", **chosen).total_price
    same = found == Decimal(price)
    changed = changed or not same
    print(f"  {str(dict([context]) if context else {}):32} {found:>8} {'as seen before' if same else f'CHANGED, was {price}'}")
sys.exit(changed)
PYTHON
