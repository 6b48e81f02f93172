"""The table of `make mutations` follows the code: a fault whose text has moved would be found only by who runs it."""

from __future__ import annotations

import pytest

from tests.mutations import FAULTS, Fault
from tests.paths import ROOT


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.rule}, {fault.what}")
def test_what_a_fault_changes_and_who_must_see_it_stand(fault: Fault) -> None:
    assert (ROOT / fault.file).read_text().count(fault.old) == fault.count, f"{fault.file} has: {fault.old}"
    assert fault.new != fault.old
    assert fault.tests
    for argument in fault.tests:
        path, _, name = argument.partition("::")
        if path.startswith("tests/"):
            assert (ROOT / path).exists()
            assert not name or f"def {name.partition('[')[0]}(" in (ROOT / path).read_text()
