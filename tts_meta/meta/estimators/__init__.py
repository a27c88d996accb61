"""Estimators of the meta-gradient of the learners that adapt by gradient steps."""
