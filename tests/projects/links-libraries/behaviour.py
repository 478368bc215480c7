import base64
import hashlib
import os
import subprocess
import sysconfig
import zipfile

LINKED = """
#include <Python.h>
static struct PyModuleDef module = { PyModuleDef_HEAD_INIT, "_linked", 0, -1, 0 };
PyMODINIT_FUNC PyInit__linked(void) { return PyModule_Create(&module); }
"""


def after(folder, filename):
    """Make it a wheel of this platform with an extension that needs the LIBRARIES."""
    with open("linked.c", "w") as file:
        file.write(LINKED)
    libraries = ["-l" + name for name in os.environ["LIBRARIES"].split()]
    include = "-I" + sysconfig.get_path("include")
    subprocess.run(
        ["cc", "-shared", "-fPIC", include, "-Wl,--no-as-needed", "linked.c", "-o", "linked.so", *libraries], check=True
    )
    platform = sysconfig.get_platform().replace("-", "_")
    tag = "cp{0}-cp{0}-{1}".format(sysconfig.get_config_var("py_version_nodot"), platform)
    pure = os.path.join(folder, filename)
    with zipfile.ZipFile(pure) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    os.remove(pure)
    about = next(name for name in files if name.endswith("/WHEEL"))
    files[about] = files[about].replace(b"py3-none-any", tag.encode()).replace(b"Purelib: true", b"Purelib: false")
    with open("linked.so", "rb") as file:
        linked = file.read()
    if "BREAK" in os.environ:
        linked = linked[:200] + b"\xff" * (len(linked) - 200)
    files["links_libraries/_linked" + sysconfig.get_config_var("EXT_SUFFIX")] = linked
    record = next(name for name in files if name.endswith("/RECORD"))
    del files[record]
    rows = [
        "{},sha256={},{}".format(
            name, base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode(), len(data)
        )
        for name, data in files.items()
    ]
    files[record] = "\n".join([*rows, record + ",,", ""]).encode()
    name = filename.replace("py3-none-any", tag)
    with zipfile.ZipFile(os.path.join(folder, name), "w") as archive:
        for item, data in files.items():
            archive.writestr(item, data)
    return name
