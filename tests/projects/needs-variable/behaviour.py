import os
import sys


def after(folder, filename):
    for wanted in ("FIRST", "SECOND"):
        if not os.environ.get(wanted):
            sys.exit(f"error: this build needs the variable {wanted}")
