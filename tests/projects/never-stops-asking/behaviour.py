import os


def requires():
    count = len(os.listdir("/build/home"))
    open(f"/build/home/{count}", "w").close()
    return [f"tiny-helper>=0.{count}"]
