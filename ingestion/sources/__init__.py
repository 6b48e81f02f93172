"""One folder per provider: its endpoints, its Arrow schemas, and how its answers become whole days."""
