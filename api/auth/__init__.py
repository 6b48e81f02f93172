"""Who is asking: bearer tokens (`tokens`) and the dependencies that turn one into a tenant or a root admin
(`access`).
"""
