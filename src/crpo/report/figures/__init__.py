"""The report's figures: each a small one of its own, so that the page can lay them out anew on a phone."""
