"""The `metering` command: starts the rooms, and is the only place that may know them all."""
