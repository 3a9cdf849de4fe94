"""What a store of results says: curves, controls, tests, methods paragraphs."""
