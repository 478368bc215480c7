from import_broken._missing import nothing
