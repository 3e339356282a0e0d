"""Is a data set what it claims to be: readable, complete, paired, unchanged, and free of leaks between its splits?"""
