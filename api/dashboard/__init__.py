"""The pages: HTML over the same service functions as the JSON routes, so that a page can show no other figure.

`install` mounts everything. A page is a thin endpoint (`tenant`, `owner/`, `operations`), a pure view of what a
service returned, and a template; `viewer` says who looks at it, `rendering` turns it into HTML. No SQL in here.
"""
