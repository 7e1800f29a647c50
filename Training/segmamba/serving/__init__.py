"""What the worker process is made of: its protocol, its queue, its warm model, volumes in and out."""
