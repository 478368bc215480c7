"""People who log in: who they are, what proves it, and what they may do."""
