"""From a dlt source to `raw`: a staging dataset of its own, then one transaction that replaces whole units."""
