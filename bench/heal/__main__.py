"""How many real source distributions turn green without a person: each from the plain image, then from memory.

``make bench-heal`` builds the projects below as a node does, with the recipes that ship, and prints for each what
healed it, in how many tries, and the time that failed tries took; then again from what worked, and whether the same
bytes came of it. ``make bench-heal NAMES="lxml pycups"``: only those. A portable wheel is tried in the other images of
this machine, too. Sdists and build requirements come from the index that pip here is set to use.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.heal.run import Run
from bench.heal.shelf import serving
from bench.heal.table import plain, show
from schema.jobs import Limits
from schema.settings import load
from schema.wheels.comparing import Verdict

# What each lacks on a plain Debian was measured before the farm could heal anything; some lack nothing.
PROJECTS = (
    "pycurl", "psycopg2", "pycairo", "netifaces", "gssapi", "pycups", "kerberos", "pykerberos", "PyGObject",
    "libvirt-python", "pycrypto", "cffi", "cryptography", "lxml", "Pillow", "mysqlclient", "python-ldap", "pyodbc",
    "dbus-python", "pygraphviz", "h5py", "pyzmq", "greenlet", "uwsgi", "pysqlcipher3", "M2Crypto", "pyaudio",
    "RPi.GPIO", "smbus2", "spidev", "evdev", "numpy", "scikit-learn", "markupsafe", "pyyaml",
)  # fmt: skip
_LIMITS = Limits(wall_s=3600.0, memory_bytes=6 * 2**30)
# Of the second run: tries a project, and the share of wheels that are the first run's, bit by bit.
_MOST_TRIES, _LEAST_IDENTICAL = 1.1, 0.95


def main(names: Sequence[str], out: Path | None) -> int:
    """Build them twice; 0 if the second run kept to the goals: few tries, and the very same wheels."""
    settings = replace(load(), limits=_LIMITS)
    with tempfile.TemporaryDirectory(prefix="wf-heal-") as name, serving(Path(name) / "wheels") as shelf:
        folder = Path(name)
        folder.chmod(0o755)
        first = Run(settings, folder / "first", shelf, {}).all(names)
        show("from the plain image", first)
        green = [row for row in first if row.wheel]
        memory = {row.project: row for row in green}
        second = Run(settings, folder / "second", shelf, memory).all([row.project for row in green])
        show("again, from memory of what worked", second)
    if out is not None:
        out.write_text(json.dumps([[plain(row) for row in rows] for rows in (first, second)], indent=1))
    identical = [row for row in second if row.repeated and row.repeated.verdict is Verdict.IDENTICAL]
    tries = sum(len(row.tries) for row in second)
    return 0 if tries <= _MOST_TRIES * len(second) and len(identical) >= _LEAST_IDENTICAL * len(second) else 1


if __name__ == "__main__":
    where = os.environ.get("WHEELFARM_HEAL_JSON")
    sys.exit(main(sys.argv[1:] or PROJECTS, Path(where) if where else None))
