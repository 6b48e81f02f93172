"""Building the marts without Dagster: dbt's command and its project, the build under its lock, the record of which days are
done and due, and what a build's results say. Also the copies of what is stated once and needed in several rooms (`copies`).
"""
