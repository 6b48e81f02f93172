"""One folder per provider: its endpoints, its Arrow schemas, and how its answers become whole days.

Beside the folders: what providers share, as requests, paging, columns, reading account by account; `registry` lists the providers.
"""
