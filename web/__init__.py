"""The front-end: the index for installers and the pages for people."""
