import subprocess


def after(folder, filename):
    for command in (
        "mount -t tmpfs none /mnt",
        "mount --bind / /mnt",
        "umount /build",
        "unshare --user --map-root-user --mount sh -c 'mount -t proc none /proc; ls /proc'",
        "unshare --user --map-root-user --net ip link",
        "chroot /proc/1/root id",
        "nsenter --target 1 --all id",
    ):
        subprocess.run(["sh", "-c", command], check=False)
