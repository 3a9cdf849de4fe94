"""What the listener heard, and when the scanner looked: words, sound, stories, clocks, windows."""
