"""An independent calculation of the marts, from the words of the contract alone; it shares no code with the
system.

`compute` is the one entry point; `compare` holds its answer against a real database; `generate` writes nasty
provider data, `track` what a product would have tracked of it, and `flush` brings that into a database.
"""

from tests.oracle.compare import compare
from tests.oracle.flush import flush
from tests.oracle.generate import SCENARIOS, Scenario, generate, write_seeds
from tests.oracle.marts import Expected, compute
from tests.oracle.track import Tracking, track

__all__ = [
    "SCENARIOS",
    "Expected",
    "Scenario",
    "Tracking",
    "compare",
    "compute",
    "flush",
    "generate",
    "track",
    "write_seeds",
]
