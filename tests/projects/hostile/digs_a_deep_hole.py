import os


def after(folder, filename):
    for _ in range(3000):
        os.mkdir("d" * 100)
        os.chdir("d" * 100)
