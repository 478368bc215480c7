import time


def after(folder, filename):
    print("now waiting for ever", flush=True)
    time.sleep(3600)
