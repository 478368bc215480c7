from links_libraries import _linked

WORKS = _linked.__name__
