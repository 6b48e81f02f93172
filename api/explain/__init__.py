"""Why a figure is what it is: the lines of a day with formula, prices, attribution and raw records."""
