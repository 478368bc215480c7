import os


def after(folder, filename):
    os.unlink(os.path.join(folder, filename))
    os.symlink("/etc/shadow", os.path.join(folder, filename))
