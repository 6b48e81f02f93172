"""Gets usage in: reads the providers' APIs and the tenant directory into `raw`.

Nothing here imports Dagster, dbt or FastAPI, or another room; the rooms meet only in PostgreSQL. What the tracking SDK
says of services, phone numbers and the clock is imported from it (`usage_metering`).
"""
