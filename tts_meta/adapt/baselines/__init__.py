"""Baseline methods that clone without the shrinkage prior."""
