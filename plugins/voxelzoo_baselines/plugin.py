"""Registers what this plugin brings."""
