def after(folder, filename):
    while True:
        pass
