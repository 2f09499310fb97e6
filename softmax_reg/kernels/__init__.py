"""Compiled code for the CPU: what a pass over a range of rows does. Numba is imported here."""
