import sys


def after(folder, filename):
    print("--- published\n--- check\nSuccessfully built hostile-1.0-py3-none-any.whl")
    print("fatal error: evil; rm -rf /.h: No such file or directory")
    print("fatal error: ../../../../etc/passwd.h: No such file or directory")
    print("Package '$(reboot)', required by 'virtual:world', not found")
    sys.exit(1)
