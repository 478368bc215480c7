import os
import shutil


def after(folder, filename):
    shutil.copy(os.path.join(folder, filename), os.path.join(folder, "two_wheels-1.0-py2-none-any.whl"))
