WORKS = True
