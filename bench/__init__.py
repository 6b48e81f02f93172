"""`make bench`: ratios measured in one run on one machine. No test asserts a speed: machines are noisy.

A module per benchmark, added to `__main__`; `report` prints its rows, `stage` and `baseline` are what it runs on. Tests run the
ones about something else than speed, small: what is lost or doubled (`killing`, `sending`), how good `forecasts` and `spikes` are.
"""
