"""`partial_fit`: what remains of the batches before, and the fit to one more."""
