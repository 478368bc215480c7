"""A build backend of one file (PEP 517): a wheel of the modules in src/. A project's behaviour.py may do worse."""

import base64
import hashlib
import importlib
import json
import os
import zipfile


def _behaviour():
    try:
        return importlib.import_module("behaviour")
    except ModuleNotFoundError:
        return None


def get_requires_for_build_wheel(config_settings=None):
    return getattr(_behaviour(), "requires", lambda: [])()


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    with open("project.json") as file:
        about = json.load(file)
    name, version = about["name"].replace("-", "_"), about["version"]
    folder = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {item}\n" for item in about.get("requires_dist", ()))
    files = {
        f"{folder}/METADATA": f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {version}\n{needs}",
        f"{folder}/WHEEL": "Wheel-Version: 1.0\nGenerator: tiny\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    for at, _, names in os.walk("src"):
        for item in names:
            path = os.path.join(at, item)
            with open(path) as file:
                files[os.path.relpath(path, "src")] = file.read()
    record = [_row(item, text.encode()) for item, text in files.items()]
    files[f"{folder}/RECORD"] = "\n".join([*record, f"{folder}/RECORD,,", ""])
    filename = f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, filename), "w") as archive:
        for item, text in files.items():
            archive.writestr(item, text)
    if hasattr(_behaviour(), "after"):
        return _behaviour().after(wheel_directory, filename) or filename
    return filename


def _row(name, data):
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(data)}"
