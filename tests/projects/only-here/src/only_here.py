from pathlib import Path

if not Path("/etc/debian_version").exists():
    raise ImportError("this is no Debian")
