import socket


def after(folder, filename):
    for host, port in (("127.0.0.1", 6379), ("127.0.0.1", 22), ("1.1.1.1", 53), ("169.254.169.254", 80), ("::1", 6379)):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(family, kind) as client:
                client.settimeout(2)
                try:
                    client.connect((host, port))
                    client.send(b"INFO\r\n")
                    print("REACHED", host, client.recv(100))
                except OSError as err:
                    print(host, err)
    with socket.socket() as server:
        server.bind(("0.0.0.0", 0))
