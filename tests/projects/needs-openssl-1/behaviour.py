import subprocess


def after(folder, filename):
    with open("demo.c", "w") as file:
        file.write("#include <openssl/opensslv.h>\n")
    subprocess.run(["cc", "-c", "demo.c"], check=True)
