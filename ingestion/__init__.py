"""Gets usage in: the providers' APIs to `raw`, the tracking SDK, and the local stand-in for the providers.

Nothing here imports Dagster, dbt or FastAPI, or another room; the rooms meet only in PostgreSQL.
"""
