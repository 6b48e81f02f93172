"""The collector, over HTTP and on a real database."""
