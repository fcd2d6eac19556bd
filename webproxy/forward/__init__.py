"""The forwarding path: a browser's request to a service origin, through a circuit, to the device and back."""
