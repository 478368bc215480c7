import subprocess
import sys


def after(folder, filename):
    with open("demo.c", "w") as file:
        file.write("#include <sodium.h>\n#include <yaml.h>\nint demo(void) { return sizeof(yaml_parser_t); }\n")
    # As lxml does: whichever of them is not there, it says the same.
    if subprocess.run(["cc", "-c", "demo.c"], stderr=subprocess.DEVNULL).returncode:
        sys.exit("Error: Please make sure the libsodium and libyaml development packages are installed.")
