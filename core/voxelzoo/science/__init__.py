"""Arrays in, arrays out: splits, designs, fits, scores, ceilings, tests and scaling laws."""
