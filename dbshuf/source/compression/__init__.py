"""Compressed inputs, read front to back in constant memory."""
