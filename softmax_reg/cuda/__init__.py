"""Compiled code for the GPU, and arrays there."""
