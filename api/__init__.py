"""The read-only HTTP API over `marts` and the `ops` views. It imports no other room and writes nothing.

A domain is a folder with the same file names: `endpoints` (HTTP), `service` (rows to bodies), `queries` (all
SQL), `schemas` (the bodies). What domains share lies beside them.
"""
