"""Results of the papers' tables as Markdown, CSV, LaTeX and pictures."""
