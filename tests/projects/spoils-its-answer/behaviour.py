import os


def after(folder, filename):
    os.symlink("/tmp/answer", "/result/result.json")
