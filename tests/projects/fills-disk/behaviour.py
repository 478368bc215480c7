def after(folder, filename):
    with open("junk", "wb") as file:
        for _ in range(1024):
            file.write(b"x" * 2**20)
            file.flush()
