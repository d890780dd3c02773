"""History against repair: every method that edits a trained net, in one table with what it costs."""
