"""The command line: its vocabulary, how options are read, what becomes of results, and the subjects of each system."""
