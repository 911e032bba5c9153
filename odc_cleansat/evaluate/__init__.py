"""Compare masks with labels: counts, scores, tables and figures."""
