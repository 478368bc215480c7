import os
import zipfile


def after(folder, filename):
    with zipfile.ZipFile(os.path.join(folder, filename), "a") as wheel:
        wheel.writestr("evil.pth", "import os; os.system('touch /build/started')")
        wheel.writestr("sitecustomize.py", "import os; os.system('touch /build/started')")
