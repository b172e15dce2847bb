"""The command line: its vocabulary, how options are read, the output of results, and the subjects of each system."""
