"""One encoder a format, and what formats share."""
