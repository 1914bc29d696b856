"""Keys, queues, rooms and topics, and the journal that keeps them."""
