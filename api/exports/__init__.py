"""Usage and charges as files: a tenant's usage as CSV, and FOCUS 1.2 (docs/focus.md) as CSV and Parquet."""
