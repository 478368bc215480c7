import os
import zipfile


def after(folder, filename):
    with zipfile.ZipFile(os.path.join(folder, filename), "a", zipfile.ZIP_DEFLATED) as wheel:
        with wheel.open("bomb.py", "w", force_zip64=True) as member:
            for _ in range(400):
                member.write(b"\0" * 2**20)
