"""Assets, thin: each calls a function of another room and reports what happened."""
