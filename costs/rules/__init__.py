"""Rules about money as pure functions: no database, no network, no other room.

What belongs here: what needs more than SQL (statistics, forecasts, hashing), what is said of prices and services as files, and the
order of statuses as Python needs it.
"""
