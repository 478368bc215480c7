"""What Debian knows: which package ships a file that a build misses, and what Debian's own build of a project needs.

An index is one SQLite file beside an image, made from the Contents and Sources of the image's own suite, which apt has
fetched and verified. ``making`` makes it, ``asking`` asks it, ``archive`` reads what the archive says.
"""
