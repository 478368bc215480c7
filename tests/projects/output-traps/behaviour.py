"""Eight things beside the wheel that would hurt whoever took them for files."""

import os


def after(folder, filename):
    os.symlink("/etc/shadow", os.path.join(folder, "shadow"))
    os.mkfifo(os.path.join(folder, "pipe"))
    os.mkdir(os.path.join(folder, "folder"))
    os.symlink("..", os.path.join(folder, "folder", "up"))
    with open(os.path.join(folder, "su"), "wb") as file:
        file.write(b"#!/bin/sh\n")
    os.chmod(os.path.join(folder, "su"), 0o6755)
    with open(os.path.join(folder, "holes"), "wb") as file:
        file.truncate(200 * 2**20)
    os.link(os.path.join(folder, "su"), os.path.join(folder, "second-name"))
    with open(os.path.join(folder, "\x1b]0;owned\x07\nname"), "wb"):
        pass
