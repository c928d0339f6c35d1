"""The columns of inputs: as plain types, as the union of several, and as they are written."""
