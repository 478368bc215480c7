import ctypes

# OpenSSL 3 has the header, but not this function any more.
fips_mode = ctypes.CDLL(None).FIPS_mode
