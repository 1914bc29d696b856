"""The ways in: SynapRPC, REST, the command endpoint, WebSockets."""
