"""Events that a product of a data set's tenants would have tracked (`tracked`), by wrapped clients or by its own reports (`reported`)."""
