import sys


def after(folder, filename):
    while True:
        sys.stdout.write("x" * 65536)
