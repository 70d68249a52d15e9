"""What items are like, from what they say: their text, its vector, and which are alike."""
