"""Running the rows of the papers' tables: option files, trainings, tests and measurements, and what is kept of them."""

KINDS = ('trained', 'measured')
