"""Typed rows: a reader for each format behind one interface, by several workers at once."""
