import ctypes

KEYCTL, BPF, PERF_EVENT_OPEN, IO_URING_SETUP, USERFAULTFD = 250, 321, 298, 425, 323


def after(folder, filename):
    libc = ctypes.CDLL(None, use_errno=True)
    print([libc.syscall(number, 0, 0, 0, 0, 0) for number in (KEYCTL, BPF, PERF_EVENT_OPEN, IO_URING_SETUP, USERFAULTFD)])
