"""Where every number comes from: run directories with their provenance, result rows, tables, figures, report."""
