def requires():
    return ["--index-url=http://127.0.0.1:1/", "-r /etc/passwd", "pip @ file:///etc/passwd"]
