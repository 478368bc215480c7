def requires():
    return ["x" * 100_000, "a;b", "../../etc/passwd", "demo\n--pre"]
