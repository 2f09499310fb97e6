"""The kinds of rows that a fit may run on; what a pass over them gives."""
