"""Rules about costs as pure functions: no database, no network, no other room."""
