"""Whole models: the acoustic model, the vocoders, and the partition of their parameters into modules."""
