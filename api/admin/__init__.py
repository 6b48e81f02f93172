"""The owner's routes: all tenants, `unattributed` among them."""
