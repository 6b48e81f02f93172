"""What the API's domains share: reading as a role, money and quantities for people, periods, parameters, pages, files, problems.

Nothing here knows a domain, a route or who asks (that is `api.auth`).
"""
