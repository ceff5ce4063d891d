"""Readers: other people's tables, and the bundled corpus, into ours."""
