"""Leaves something wherever it may write, and counts what an earlier build left."""

import os
import subprocess

MARK = "planted-by-a-build"
PLACES = (
    "/ /tmp /var/tmp /var/cache /usr/local/bin /usr/lib /etc /etc/profile.d /root /home /opt /srv /run /dev /dev/shm "
    "/build /build/home /build/home/.cargo/bin /build/home/.local/bin /build/home/.config/pip /build/env/bin "
    "/build/env/lib/python3.11/site-packages /wheelhouse /inside /tools /tools/pip /cache /result /out /sdist"
).split()


def after(folder, filename):
    found = [os.path.join(at, name) for at, _, names in os.walk("/") for name in names if name == MARK]
    planted = 0
    for place in PLACES:
        try:
            os.makedirs(place, exist_ok=True)
            with open(os.path.join(place, MARK), "w"):
                planted += 1
        except OSError:
            pass
    daemon = "import os, time; os.setsid(); time.sleep(600)"
    subprocess.Popen(["python3", "-c", daemon], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    processes = [name for name in os.listdir("/proc") if name.isdigit()]
    print(f"planted {planted}, found {len(found)}, processes {len(processes)}")
