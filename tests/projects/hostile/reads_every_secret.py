import os

MOST = 400_000


def after(folder, filename):
    looked = 0
    for root, folders, files in os.walk("/"):
        if root.startswith(("/sys", "/usr/share", "/usr/lib/x86_64-linux-gnu", "/usr/lib/gcc")):
            folders.clear()
            continue
        for name in files:
            looked += 1
            path = os.path.join(root, name)
            try:
                if looked < MOST and os.path.isfile(path) and os.path.getsize(path) < 2**16:
                    with open(path, "rb") as file:
                        data = file.read(2**16)
                    if b"PLANTED" in data and "hostile" not in path:
                        print("FOUND", path, data[::-1])
            except OSError:
                pass
