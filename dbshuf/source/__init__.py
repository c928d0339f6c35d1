"""Where rows come from: names to inputs, inputs to batches of lines."""
