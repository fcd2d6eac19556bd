"""The demonstration machine: a web HMI and a VNC panel that `make run` puts behind an agent."""
