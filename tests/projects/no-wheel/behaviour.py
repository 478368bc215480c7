import os


def after(folder, filename):
    os.unlink(os.path.join(folder, filename))
