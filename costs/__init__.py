"""Rules about money, as pure functions: no database, no network, no other room."""
