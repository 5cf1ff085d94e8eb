"""The experiment of TSCA ("Unifying Temporal and Structural Credit Assignment"): `python -m examples.temporal_structural --help`."""
