"""Papers as data: what is run, which figures are made, and what is expected of them."""
