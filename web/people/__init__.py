"""People at the front-end: who asks, what they may do, logging in, and their own account."""
