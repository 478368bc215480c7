import os


def after(folder, filename):
    os._exit(0)
