"""Lines of text files, pipes and compressed files, by several workers at once."""
