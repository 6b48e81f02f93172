"""The HTTP API over `marts` and the `ops` views: it reads, and of the other rooms it imports `costs.rules` alone.

A domain is a folder with the same file names: `endpoints` (HTTP), `service` (rows to bodies), `queries` (all
SQL), `schemas` (the bodies). `exports` has files instead of bodies, `operations` the two commands, which alone write. What domains share
is in `kit`, who asks in `auth`, the pages over all of them in `dashboard`; no domain imports another. `main` puts them together, with what
belongs to the process: settings, health, metrics, the OpenAPI document.
"""
