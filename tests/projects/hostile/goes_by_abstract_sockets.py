import socket


def after(folder, filename):
    with open("/proc/net/unix") as file:
        names = [line.split()[-1] for line in file if "@" in line or "/" in line]
    for name in names:
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(name.replace("@", "\0"))
                print("REACHED", name)
            except OSError as err:
                print(name, err)
