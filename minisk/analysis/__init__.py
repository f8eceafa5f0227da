"""Look at a model: its layers, where its time goes, and figures."""
