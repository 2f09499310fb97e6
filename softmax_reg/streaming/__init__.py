"""`partial_fit`: the state that summarises past batches, and the fit to one more batch."""
