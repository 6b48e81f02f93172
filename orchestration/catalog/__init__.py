"""What the Dagster UI says about an asset beside its runs: columns and where they come from, runbook, owners, freshness."""
