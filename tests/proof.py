"""Long proofs: more seeds, worlds and kills of what `make test` tries a few of. `make proof` (METERING_PROOF=1) runs them all.

Nothing stands here alone: of each proof a part is in every run of the suite.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pytest

IS_PROOF = os.environ.get("METERING_PROOF") == "1"


# Skips a test, or a case, that is for proofs alone.
LONG = pytest.mark.skipif(not IS_PROOF, reason="a long proof: make proof")


def all_in_proof(cases: Sequence[Any], always: Sequence[Any]) -> list[Any]:
    """Return the values of a `parametrize` with those that are not ``always`` tried skipped but in a proof."""
    assert set(always) <= set(cases), "a case that is always tried is one of the cases"
    return [
        pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=() if case in always else LONG)
        for case in cases
    ]
