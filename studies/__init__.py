"""The studies: how each makes its rows, tables, figures and claims. One folder a study."""
