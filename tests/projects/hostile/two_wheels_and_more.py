import os
import shutil


def after(folder, filename):
    for number in range(300):
        shutil.copy(os.path.join(folder, filename), os.path.join(folder, f"other{number}-1.0-py3-none-any.whl"))
