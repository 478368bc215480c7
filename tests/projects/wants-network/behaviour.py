import urllib.request


def after(folder, filename):
    urllib.request.urlopen("http://example.org/data.tar.gz", timeout=5)
