import os
import time


def after(folder, filename):
    for _ in range(20):
        if not os.fork():
            os.setsid()
            if not os.fork():
                for number in (0, 1, 2):
                    os.close(number)
                time.sleep(3600)
            os._exit(0)
