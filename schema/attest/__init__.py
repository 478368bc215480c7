"""Who built a wheel from what: in-toto statements in DSSE envelopes, signed under the farm's own authority."""
