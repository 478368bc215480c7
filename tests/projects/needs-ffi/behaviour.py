import subprocess


def after(folder, filename):
    with open("demo.c", "w") as file:
        file.write("#include <ffi.h>\nint demo(void) { return FFI_DEFAULT_ABI; }\n")
    subprocess.run(["cc", "-c", "demo.c"], check=True)
