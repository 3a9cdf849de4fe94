"""Aligners: states at their own times onto the scanner's clock."""
