"""What a run leaves in writing about itself: what went in, what came out, and their sums.

document.py   the manifest: its fields, its file, its own checksum
schema.json   the same as JSON Schema (draft 2020-12), with a sentence a field
"""
