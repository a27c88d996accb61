"""Solvers: inner steps, step sizes, stopping, linear systems and Hessian products."""
