"""What a plugin and the host agree on: specs, interfaces and hooks."""
