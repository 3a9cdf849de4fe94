"""Controls that need no network, and states computed elsewhere."""
