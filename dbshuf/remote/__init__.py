"""Data that lies elsewhere: object stores and hosts, behind one interface; loaded for URLs only."""
