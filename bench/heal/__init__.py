"""How many real source distributions turn green without a person."""
