import ctypes
import os

PTRACE_ATTACH = 16


def after(folder, filename):
    libc = ctypes.CDLL(None, use_errno=True)
    for number in filter(str.isdigit, os.listdir("/proc")):
        print(number, libc.ptrace(PTRACE_ATTACH, int(number), 0, 0))
