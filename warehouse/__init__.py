"""The database itself: the embedded server, connection URLs, roles, migrations and row-level security.

Every room meets the others only in PostgreSQL; this one owns what stands there before any row does.
It imports no other room.
"""
