"""Dagster only: assets that call the other rooms, jobs over daily partitions, schedules and sensors, and what the UI says."""

import gc

# What Dagster, dlt and the definitions make while they load stays, a million objects. To look through them for garbage with every 700 new ones
# took 7 % of the CPU time of a run in which nothing has changed.
gc.set_threshold(max(10_000, gc.get_threshold()[0]))
