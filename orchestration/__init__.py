"""Dagster only: assets that call ingestion and dbt, one job over daily partitions, schedules, and the record of done days."""
