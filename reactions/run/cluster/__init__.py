"""Steps run by the machines of a Ray cluster, which share the store with this one."""
