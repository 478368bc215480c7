"""What changed upstream: the ways to learn of it, one beside the other (W-02, W-03, W-10)."""
