import os


def after(folder, filename):
    os.rename(os.path.join(folder, filename), os.path.join(folder, "requests-99.0-py3-none-any.whl"))
    return "requests-99.0-py3-none-any.whl"
