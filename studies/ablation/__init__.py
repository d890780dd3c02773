"""Which of DARE's choices moves its score: one of them changed at a time."""
