import subprocess
import sys


def after(folder, filename):
    print("building 'demo' extension")
    with open("demo.c", "w") as file:
        file.write("#include <no_such_library.h>\n")
    subprocess.run(["cc", "-c", "demo.c"], check=True)
