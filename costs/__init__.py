"""Rules and work about money.

`rules` is pure functions: no database, no network, no other room. The rest works with them on the marts and the seeds:
alerts, closed months, forecasts, price changes, scenarios, proofs. What a line costs is dbt's to say.
"""
