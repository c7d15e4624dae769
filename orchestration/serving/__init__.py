"""The inference service: the one process that holds a model, and answers over HTTP what the commands answer."""
