import os


def after(folder, filename):
    for name, value in os.environ.items():
        if "PLANTED" in value or "PLANTED" in name:
            print("FOUND", name, value[::-1])
    for path in ("~", "~root", "/root", "/home", "~/.ssh", "~/.netrc", "~/.config/pip", "/etc/pip.conf", "/run/secrets"):
        try:
            print(path, os.listdir(os.path.expanduser(path)))
        except OSError as err:
            print(path, err)
