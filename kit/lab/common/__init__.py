"""What the embedded servers share: storage, the web server, SQL workers, faults on request."""
