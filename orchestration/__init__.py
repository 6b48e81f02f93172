"""Dagster only: assets that call the other rooms, jobs over daily partitions, schedules and sensors, and what the UI says."""
