"""The simple index (PEP 503, 691, 700): its pages, read without trust, and written."""
