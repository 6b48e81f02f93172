"""Cost and usage as FOCUS 1.2 (FinOps Open Cost and Usage Specification), in CSV and Parquet."""
