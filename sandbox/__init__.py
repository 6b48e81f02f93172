"""The providers' public APIs, served locally with known data: for the demo, the tests and the benchmarks.

`Dataset` is the data, `running` a sandbox for the length of a block, `serve` one in the foreground. It stands
in for the providers and therefore imports nothing of ours but the SDK, whose events it makes up. See README.md.
"""

from sandbox.dataset import Dataset
from sandbox.faults import Fault
from sandbox.running import Sandbox, running, serve

__all__ = ["Dataset", "Fault", "Sandbox", "running", "serve"]
