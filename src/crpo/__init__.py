"""Creative Preference Optimization: people's ratings in, measurably more creative language models out."""

__version__ = "0.1.0"
