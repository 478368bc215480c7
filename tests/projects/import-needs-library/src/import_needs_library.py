import ctypes

# In the build image it came with the compiler.
LIBRARY = ctypes.CDLL("libgomp.so.1")
