def requires():
    return ["tiny-helper>=1"]


def after(folder, filename):
    import tiny_helper

    print("tiny_helper", tiny_helper.__file__)
