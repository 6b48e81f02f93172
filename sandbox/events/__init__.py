"""Events that a product of a data set's tenants would have tracked (`tracked`), and what the providers are told of them (`told`)."""
