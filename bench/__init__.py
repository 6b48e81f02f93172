"""`make bench`: ratios measured in one run on one machine. Nothing here is asserted by a test: machines are noisy."""
