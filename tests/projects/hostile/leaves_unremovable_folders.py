import os
import subprocess


def after(folder, filename):
    for number in range(20):
        path = f"/build/locked{number}/\n\033[2J -rf"
        os.makedirs(path)
        open(f"{path}/file", "w").close()
        subprocess.run(["chattr", "+i", f"{path}/file"], check=False)
        os.chmod(path, 0)
        os.chmod(f"/build/locked{number}", 0)
