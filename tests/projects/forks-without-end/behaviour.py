import os
import time


def after(folder, filename):
    children = 0
    while children < 3000:
        try:
            if os.fork() == 0:
                time.sleep(60)
                os._exit(0)
        except BlockingIOError:
            time.sleep(0.1)
        children += 1
    time.sleep(60)
