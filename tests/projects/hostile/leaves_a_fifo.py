import os


def after(folder, filename):
    os.unlink(os.path.join(folder, filename))
    os.mkfifo(os.path.join(folder, filename))
