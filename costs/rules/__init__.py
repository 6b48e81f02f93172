"""Rules about money as pure functions: no database, no network, no other room.

What belongs here: what needs more than SQL (statistics, forecasts, hashing), and what is said of prices and services as files.
"""
