"""An independent calculation of the marts, from the words of the contract alone; it shares no code with the
system.

`compute` is the one entry point; `compare` holds its answer against a real database; `generate` writes nasty
provider data.
"""

from tests.oracle.compare import compare
from tests.oracle.generate import SCENARIOS, Scenario, generate, write_seeds
from tests.oracle.marts import Expected, compute

__all__ = ["SCENARIOS", "Expected", "Scenario", "compare", "compute", "generate", "write_seeds"]
