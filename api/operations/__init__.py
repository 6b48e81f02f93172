"""The two commands that the owner may give: acknowledge an alert, rebuild days. Mounted with METERING_API_OPERATIONS=true only.

Everything else in `api/` reads. What belongs here: the JSON routes, the one INSERT that an acknowledgement is, and the
questions to Dagster's GraphQL that launch a backfill and follow it. The pages of both are in `api/dashboard/operations.py`.
"""
