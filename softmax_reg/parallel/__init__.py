"""Threads, BLAS's own threads, and algebra of long vectors on them."""
