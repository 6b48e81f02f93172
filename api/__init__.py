"""The read-only HTTP API over `marts` and the `ops` views. It imports no other room and writes nothing.

A domain is a folder with the same file names: `endpoints` (HTTP), `service` (rows to bodies), `queries` (all
SQL), `schemas` (the bodies). `exports` has files instead of bodies, `operations` commands instead of reads. What domains share lies in
`kit`, who asks in `auth`, the pages over all of them in `dashboard`; no domain imports another.
"""
