"""Baselines that clone by other means than the shrinkage prior."""
