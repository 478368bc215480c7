raise RuntimeError('no display')
