import os
import zipfile


def after(folder, filename):
    with zipfile.ZipFile(os.path.join(folder, filename), "a") as wheel:
        for name in ("../../../../tmp/evil", "/tmp/evil", "a/../../evil", "hostile-1.0.data/scripts/../../evil"):
            wheel.writestr(name, "evil")
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        wheel.writestr(link, "/etc/passwd")
