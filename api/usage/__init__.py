"""The tenant's routes: what one tenant used, what it cost, how near its caps it is."""
