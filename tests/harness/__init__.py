"""What the tests of whole programs share: processes, networks, content, other clients."""
