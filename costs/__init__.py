"""Rules about money and usage as pure functions: no database, no network, no other room.

What belongs here: what needs more than SQL (statistics, forecasts, hashing). What a line costs is dbt's to say.
"""
