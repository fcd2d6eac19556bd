"""What `panelgate run` is made of: child processes, their log, their health, and the demonstration's agent."""
