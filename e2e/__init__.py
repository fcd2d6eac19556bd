"""End to end: the real processes, a real browser, real HMI servers."""
