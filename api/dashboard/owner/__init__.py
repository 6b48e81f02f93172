"""The owner's pages: each shows what one JSON route of `api.admin` returns, by the same service function.

A module per page: parameters in, a template out. What several of them need (months to choose from, ways back through pages of a
list) is in `listing`; no figure is computed here.
"""
