def after(folder, filename):
    for _ in range(500):
        print("all work and no play " * 1000)
