"""The studies, one folder each: rows, tables, figures and claims."""
