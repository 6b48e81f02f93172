"""How old what a run makes may be, for the UI's freshness column (the daemon evaluates it; no run of ours does).

It says when an asset was last written, which is what the schedules promise. Whether a provider has answered for a day is
another question, and the check `answered` and `metering doctor` have its answer.
"""

from datetime import timedelta

import dagster as dg

# The rolling schedule takes every asset each quarter of an hour: one hour is four runs missed. Six are an outage, and not only
# one long range being built.
FRESH = dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=1), fail_window=timedelta(hours=6))
