def after(folder, filename):
    number = 0
    while True:
        open(f"/build/{number}", "w").close()
        number += 1
